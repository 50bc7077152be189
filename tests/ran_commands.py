"""Runs a command within the test's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def ran(capsys: pytest.CaptureFixture[str], run: Callable[[list[str]], Any], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of a command."""
    code = 0
    try:
        run(["program", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
