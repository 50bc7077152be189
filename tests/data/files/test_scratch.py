"""Scratch directories: private, locked, and removed when their process was killed."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from fullrank.data.files.scratch import scratch_directory, temporary_directory, try_lock


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_temporary_directories_are_private_and_those_of_killed_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "fullrank-times.writing-0123456789abcdef").mkdir()
    with temporary_directory("exposures") as directory:
        assert [directory.name] == names(tmp_path)
        assert directory.name.startswith("fullrank-exposures.writing-")
        assert directory.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path) == []


def test_a_lock_ends_with_its_file(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first) is True
    assert try_lock(second) is False
    os.close(first)
    assert try_lock(second) is True
    os.close(second)


def test_a_scratch_directory_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may delete it between its making and its locking."""
    taken, opened = itertools.count(1), os.open

    def meddled(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).name == "lock" and next(taken) <= 2:
            Path(path).parent.rmdir()
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", meddled)
    with scratch_directory(tmp_path / "records", alone=False) as directory:
        assert names(tmp_path) == [directory.name]
    assert next(taken) == 4
