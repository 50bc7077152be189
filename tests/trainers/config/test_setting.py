"""Fields of a configuration: their types, and flags that are required."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest

from fullrank.data.command.command import new_flags, run_command
from fullrank.models.options.setting import REQUIRED, FieldType, check_settings, setting
from fullrank.trainers.config import flags as trainer_flags


def test_a_field_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot have the type"):
        FieldType.of(dict)
    assert FieldType.of(Literal["a"] | None) == FieldType(item=str, choices=("a",), optional=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    """A command's configuration with a required field, as evaluate and predict have."""

    run: str = setting(REQUIRED, "Run.")
    rate: float = setting(1.0, "Rate.", above=0)

    def __post_init__(self) -> None:
        check_settings(self)


def test_a_whole_number_becomes_a_float_where_one_is_asked_for() -> None:
    assert isinstance(Plain(run="r", rate=2).rate, float)
    with pytest.raises(ValueError, match=r"--rate: expected a number. Received: True."):
        Plain(run="r", rate=True)


def test_a_required_flag_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    flag_values = new_flags()
    trainer_flags.define(Plain, title="Flags", flag_values=flag_values)
    with pytest.raises(SystemExit, match="2"):
        run_command(lambda: None, flag_values=flag_values, argv=["plain"])
    assert "flag --run is required. See --help." in capsys.readouterr().err
