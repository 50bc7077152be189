"""A list of values is given once on a command line; where flags are joined, the last one counts."""

from __future__ import annotations

from types import ModuleType

import pytest
from ran_commands import ran

from fullrank.data import convert, infer
from fullrank.data.command.command import WRONG_USAGE
from fullrank.trainers import evaluate, predict, search, train
from fullrank.trainers.config.flags import run_config


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        (train, "--widths=8", "--widths=16"),
        (train, "--tasks=click", "--tasks=like"),
        (evaluate, "--input=a.csv", "--input=b.csv"),
        (predict, "--log=a.csv", "--log=b.csv"),
        (infer, "--input=a.csv", "--input=b.csv"),
        (infer, "--label=click", "--label=like"),
        (convert, "--test_input=a.csv", "--test_input=b.csv"),
        (search, "--space=dropout=0..0.5", "--space=hidden=8|16"),
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


def test_the_last_of_joined_flags_counts() -> None:
    config = run_config(["--data=records", "--output=run", "--widths=16", "--model=single", "--widths=8", "--epochs=2"])
    assert (config.model.widths, config.train.epochs) == ((8,), 2)
