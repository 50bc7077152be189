"""A run's configuration as JSON, and the differences between two of them."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fullrank.data.files.printable import closest
from fullrank.trainers.config.config import RunConfig

Config = typing.TypeVar("Config")
PARTS: typing.Final[Mapping[str, type]] = typing.get_type_hints(RunConfig)
_FORMER_NAMES: typing.Final = {("model", "groups"): "table_variables"}
"""Part and field as runs have written them -> the field's name."""

_FORMER_VALUES: typing.Final[Mapping[tuple[str, str], Any]] = {
    ("model", "sequence_scale"): 1.0,
    ("model", "unknown_share"): 0.0,
    ("objective", "calibrate"): False,
    ("optimizer", "small_tables"): "dense",
}
"""Part and field -> the value that applies to runs written before the field existed."""


def parts_of(config_class: type) -> dict[str, type]:
    """Part -> class, of the configuration of a kind of run."""
    return typing.get_type_hints(config_class)


def to_json(config: Any) -> dict[str, dict[str, Any]]:
    """Part -> field -> value."""
    return {part: dataclasses.asdict(getattr(config, part)) for part in parts_of(type(config))}


@typing.overload
def from_json(parts: Mapping[str, Mapping[str, Any]], *, source: str) -> RunConfig: ...


@typing.overload
def from_json(parts: Mapping[str, Mapping[str, Any]], *, source: str, of: type[Config]) -> Config: ...


def from_json(parts: Mapping[str, Mapping[str, Any]], *, source: str, of: Any = RunConfig) -> Any:
    """Builds a configuration from the result of `to_json`; missing fields take their defaults.

    Args:
      parts: Part -> field -> value.
      source: Its origin, for error messages.
      of: Configuration of which kind of run.

    Raises:
      ValueError: If a part or field is unknown, or a value is rejected.
    """
    classes = parts_of(of)
    for part, fields in parts.items():
        if part not in classes or not isinstance(fields, Mapping):
            raise ValueError(f"{source}: unknown part {part!r}. Known: {', '.join(classes)}.")
        known = [field.name for field in dataclasses.fields(classes[part])]
        for name in fields:
            if name not in known:
                meant = closest(name, known)
                hint = f"; did you mean {meant!r}?" if meant else "."
                raise ValueError(f"{source}: unknown field {name!r} in {part!r}{hint}")
    built = {}
    for part, part_class in classes.items():
        try:
            built[part] = part_class(**parts.get(part, {}))
        except TypeError as error:
            required = [f.name for f in dataclasses.fields(part_class) if f.default is dataclasses.MISSING]
            missing = [name for name in required if name not in parts.get(part, {})]
            raise ValueError(f"{source}: {part!r} needs {', '.join(missing)}.") from error
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
    return of(**built)


def read_parts(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the configuration in a `config.json`, of a run (whole) or written by hand (parts only).

    Raises:
      ValueError: If the file is not such a JSON file.
      OSError: If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    parts = content.get("config", content) if isinstance(content, dict) else None
    if not isinstance(parts, dict):
        raise ValueError(f"{path} does not hold a configuration: expected an object with {', '.join(PARTS)}.")
    for (part, former), name in _FORMER_NAMES.items():
        fields = parts.get(part)
        if isinstance(fields, dict) and former in fields and name not in fields:
            fields[name] = fields.pop(former)
    if parts is not content:
        for (part, name), value in _FORMER_VALUES.items():
            if isinstance(parts.get(part), dict):
                parts[part].setdefault(name, value)
    return parts


def differences(old: Any, new: Any) -> list[str]:
    """`--flag was X, is now Y` for each field that changes the result of a run."""
    return [each for part in parts_of(type(old)) for each in differing_fields(getattr(old, part), getattr(new, part))]


def differing_fields(old: Any, new: Any) -> list[str]:
    """What `differences` says about one part of a configuration."""
    found = []
    for field in dataclasses.fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was != now and not field.metadata["operational"]:
            found.append(f"--{field.name} was {_shown(was)}, is now {_shown(now)}")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "empty"
    return "none" if value is None else str(value) if value != "" else "empty"
