"""Columns and input files are lists, with commas: a second flag would drop what the first one names."""

from __future__ import annotations

from types import ModuleType

import pytest
from ran_commands import ran

from fullrank.data import convert, infer
from fullrank.data.command.command import WRONG_USAGE


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        (infer, "--input=a.csv", "--input=b.csv"),
        (infer, "--label=click", "--label=like"),
        (infer, "--ignore=a", "--ignore=b"),
        (convert, "--input=a.csv", "--input=b.csv"),
        (convert, "--test_input=a.csv", "--test_input=b.csv"),
    ],
)
def test_a_second_list_is_refused(
    command: ModuleType, first: str, second: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = ran(capsys, command.run, first, second)
    name, _, value = second.partition("=")
    assert code == WRONG_USAGE
    assert (
        error == f"error: flag {name} is given more than once, the second time as {value}; give one list. See --help.\n"
    )
