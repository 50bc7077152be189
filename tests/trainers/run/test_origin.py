"""What a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fullrank.trainers.run.origin import git_commit


def test_a_run_names_the_commit_of_its_checkout(repository: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("this is not a checkout")
    head = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert str(git_commit()).removesuffix("+changes") == head.stdout.strip()
