"""Runs a command within the test's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def run(command: Any, *arguments: str) -> int:
    """Exit code of a command, given as its module."""
    return _code(command.run, [command.__name__, *arguments])


def ran(capsys: pytest.CaptureFixture[str], run: Callable[[list[str]], Any], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of a command, given as its function."""
    code = _code(run, ["program", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _code(run: Callable[[list[str]], Any], line: list[str]) -> int:
    try:
        run(line)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
