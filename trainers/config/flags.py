"""Command-line flags derived from configuration classes: one per field, with default, type, choices and meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.data.command.command import new_flags
from fullrank.data.command.errors import UsageError, describe_flag_error
from fullrank.data.command.help import SECTION
from fullrank.models.options.setting import FieldType, field_types
from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.config import RunConfig

TITLES: Final = {
    "data": "Data",
    "model": "Model",
    "prerank": "Pre-ranking",
    "retrieval": "Retrieval",
    "optimizer": "Optimisation",
    "objective": "Objective",
    "exposure": "Repeated exposures",
    "distribution": "Several devices or machines",
    "warm_start": "Start from another run",
    "train": "Training",
}
_FORMS: Final = {str: "string", int: "int", float: "float", bool: "bool"}
_SEVERAL: Final = {str: "A,B,...", int: "N,N,...", float: "X,X,..."}


class _Parser(flags.ArgumentParser):  # type: ignore[type-arg]
    """Lets absl read a value of a configuration field."""

    def __init__(self, kind: FieldType) -> None:
        super().__init__()
        self._kind = kind
        self.enum_values = () if kind.many else kind.choices

    def parse(self, argument: Any) -> Any:
        return self._kind.parse(argument) if isinstance(argument, str) else self._kind.check(argument)

    def flag_type(self) -> str:
        return _SEVERAL[self._kind.item] if self._kind.many else _FORMS[self._kind.item]


class _Serializer(flags.ArgumentSerializer):  # type: ignore[type-arg]
    """Writes a value as the parser reads it, for the defaults in `--help`."""

    def __init__(self, kind: FieldType) -> None:
        self._kind = kind

    def serialize(self, value: Any) -> str:
        return self._kind.format(value)


def define(config_class: type, *, title: str, flag_values: flags.FlagValues, required: bool = True) -> None:
    """Defines a flag for each field of a configuration class.

    Args:
      config_class: A frozen dataclass of `setting` fields.
      title: Heading of these flags in `--help`.
      flag_values: Where they are defined; absl raises an error for a name that is already defined there.
      required: Whether absl insists on fields without a default; otherwise the caller does.
    """
    kinds = field_types(config_class)
    for field in dataclasses.fields(config_class):
        kind = kinds[field.name]
        needed = field.default is dataclasses.MISSING
        default: Any = None if needed else field.default
        options: dict[str, Any] = {"flag_values": flag_values, "module_name": SECTION + title}
        if kind.item is bool:
            flags.DEFINE_bool(field.name, default, field.metadata["meaning"], **options)
        else:
            flags.DEFINE(
                _Parser(kind),
                field.name,
                default,
                field.metadata["meaning"],
                serializer=_Serializer(kind),
                **options,
            )
        if needed and required:
            flags.mark_flag_as_required(field.name, flag_values=flag_values)  # type: ignore[no-untyped-call]


def given(config_class: type, *, flag_values: flags.FlagValues) -> dict[str, Any]:
    """Field -> value, for the flags of a configuration class that are given on the command line."""
    names = (field.name for field in dataclasses.fields(config_class))
    return {name: flag_values[name].value for name in names if flag_values[name].present}


def read(config_class: type, *, flag_values: flags.FlagValues) -> Any:
    """Builds a configuration from its flags.

    Raises:
      UsageError: If values contradict each other or are outside their limits.
    """
    try:
        return config_class(**given(config_class, flag_values=flag_values))
    except ValueError as error:
        raise UsageError(str(error)) from error


def define_run(flag_values: flags.FlagValues, *, of: type = RunConfig) -> None:
    """Defines the flags of a run, and `--config`, from whose file a run may take what its flags leave open.

    Args:
      flag_values: Where they are defined.
      of: Configuration of which kind of run.
    """
    for part, config_class in config_json.parts_of(of).items():
        define(config_class, title=TITLES[part], flag_values=flag_values, required=False)
    flags.DEFINE_string(
        "config",
        None,
        "A config.json, such as that of a run directory: its values replace the defaults, except --output and "
        "--overwrite; flags take precedence.",
        flag_values=flag_values,
        module_name=SECTION + TITLES["train"],
    )


def read_run(flag_values: flags.FlagValues) -> RunConfig:
    """Builds the configuration of a training of a ranker, as `read_run_of` does."""
    return read_run_of(RunConfig, flag_values=flag_values)


def read_run_of(config_class: type[config_json.Config], *, flag_values: flags.FlagValues) -> config_json.Config:
    """Builds the configuration of a run from `--config` and the flags.

    The run directory of the file is not used, because a run is already in it; nor is `--overwrite`, which was meant for
    that directory.

    Args:
      config_class: Configuration of which kind of run.
      flag_values: Its flags, as `define_run` defined them.

    Raises:
      UsageError: If values contradict each other or are outside their limits, or a required one is missing.
      ValueError: If the file is not a configuration.
    """
    file = flag_values["config"].value
    parts: dict[str, dict[str, Any]] = {}
    if file is not None:
        parts = {part: dict(fields) for part, fields in config_json.read_parts(Path(file)).items()}
        for name in ("output", "overwrite"):
            parts.get("train", {}).pop(name, None)
    classes = config_json.parts_of(config_class)
    for part, part_class in classes.items():
        parts.setdefault(part, {}).update(given(part_class, flag_values=flag_values))
    _require(parts, classes)
    try:
        return config_json.from_json(parts, source=file or "command line", of=config_class)
    except ValueError as error:
        raise UsageError(str(error).removeprefix("command line: ")) from error


def run_config(arguments: Sequence[str]) -> RunConfig:
    """The configuration that flags of `fullrank train` define.

    Args:
      arguments: Only flags, without the program's name.

    Raises:
      ValueError: If a flag is unknown, an argument is not a flag, or a value is rejected.
    """
    flag_values = new_flags()
    define_run(flag_values)
    try:
        unexpected = flag_values(["train", *arguments])[1:]
    except flags.Error as error:
        raise ValueError(describe_flag_error(error, flag_values)) from error
    if unexpected:
        raise ValueError(f"{unexpected[0]!r} is not a flag.")
    return read_run(flag_values)


def _require(parts: Mapping[str, Mapping[str, Any]], classes: Mapping[str, type]) -> None:
    for part, config_class in classes.items():
        for field in dataclasses.fields(config_class):
            if field.default is dataclasses.MISSING and field.name not in parts[part]:
                raise UsageError(f"flag --{field.name} is required. See --help.")
