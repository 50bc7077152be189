"""Reads and writes `schema.json`.

The file is meant to be edited: a field that equals its default may be left out, short objects are on one line, and
every mistake is reported with its file and place. Nothing is guessed: an unknown or repeated key, a value of another
type or a missing value is an error. The key `$schema`, by which editors find `docs/schema.schema.json`, is allowed and
not kept.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from fullrank.data.files.write_aside import write_text
from fullrank.data.schema.features import BehaviourColumn, Feature, NumericStatistics, SparseStatistics
from fullrank.data.schema.schema import Schema, SchemaError, Shard

FILE_NAME: Final = "schema.json"
FORMAT: Final = 2

_KINDS: Final[dict[str, type[Feature]]] = {cls.kind: cls for cls in get_args(Feature)}
_ALWAYS_WRITTEN: Final = {"kind", "dtype", "side", "type", "layout", "compression"}
"""Fields that are written even if they equal their default, because a reader of the file looks for them."""
_WRITTEN_WHOLE: Final = (SparseStatistics, NumericStatistics, Shard)
_LINE: Final = 118


def read_schema(path: str | Path) -> Schema:
    """Reads the schema of a data set.

    Args:
      path: A data set directory, or a `schema.json` (under any name).

    Returns:
      The schema; its `directory` is that of the file.

    Raises:
      SchemaError: If there is no such file or it is not a valid schema; the message names file and place.
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        hint = "the directory holds no records or was not written completely" if path.is_dir() else "no such file"
        raise SchemaError(f"Cannot read the schema {file}: {hint}.")
    try:
        value = json.loads(
            file.read_text(encoding="utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"Cannot read the schema {file}: it is not valid JSON: {error}.") from error
    except OSError as error:
        raise SchemaError(f"Cannot read the schema {file}: {error.strerror}.") from error
    return dataclasses.replace(schema_from_json(value, source=str(file)), directory=file.parent)


def write_schema(schema: Schema, path: str | Path) -> Path:
    """Writes a schema, whole or not at all.

    Args:
      schema: The schema to write.
      path: A directory, which gets a `schema.json`, or a file name that ends in `.json`.

    Returns:
      The file written.

    Raises:
      SchemaError: If a statistic is not a finite number.
    """
    path = Path(path)
    file = path if path.suffix == ".json" else path / FILE_NAME
    text = format_json(schema_to_json(schema)) + "\n"
    write_text(file, text)
    return file


def schema_from_json(value: object, *, source: str = FILE_NAME) -> Schema:
    """Builds a schema from parsed JSON; `source` is its name in errors."""
    if not isinstance(value, dict):
        _fail(source, "", "a schema is a JSON object", value)
    fields = {key: item for key, item in value.items() if key != "$schema"}
    version = fields.pop("format", None)
    if version == 1:
        fields = _of_first_format(fields)
    elif version != FORMAT:
        _fail(source, "format", f"this version of fullrank reads formats 1 and {FORMAT}", version)
    schema: Schema = from_json(Schema, fields, source=source)
    for index, split in enumerate(schema.splits):
        for number, shard in enumerate(split.shards):
            parts = PurePosixPath(shard.file)
            if parts.is_absolute() or ".." in parts.parts or not shard.file:
                _fail(source, f"splits[{index}].shards[{number}].file", "a path below the schema", shard.file)
    return schema


def _of_first_format(fields: dict[str, Any]) -> dict[str, Any]:
    """Converts format 1, in which the `ids` of a sequence named table and target by one word, to the present one."""
    features = fields.get("features")
    if not isinstance(features, list):
        return fields
    return {**fields, "features": [_sequence_of_first_format(feature) for feature in features]}


def _sequence_of_first_format(feature: Any) -> Any:
    if not isinstance(feature, dict) or feature.get("kind") != "sequence" or not isinstance(feature.get("ids"), dict):
        return feature
    behaviour = [{"name": name, "table": table, "target": table} for name, table in feature["ids"].items()]
    return {**{key: item for key, item in feature.items() if key != "ids"}, "behaviour": behaviour}


def schema_to_json(schema: Schema) -> dict[str, Any]:
    """The schema as plain JSON values; the directory is left out."""
    return {"format": FORMAT, **_encode_dataclass(schema, "")}


def format_json(value: object, *, indent: int = 0, lead: int = 0) -> str:
    """JSON in which everything that fits on one line is on one line.

    Args:
      value: JSON values.
      indent: Spaces before a line.
      lead: Characters already on the first line.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    fits = indent > 0 and indent + lead + len(line) <= _LINE
    if fits or not value or not isinstance(value, (dict, list)):
        return line
    inner = indent + 2
    if isinstance(value, dict):
        keys = {key: json.dumps(key, ensure_ascii=False) + ": " for key in value}
        items = [keys[key] + format_json(item, indent=inner, lead=len(keys[key])) for key, item in value.items()]
    elif any(isinstance(item, (dict, list)) for item in value):
        items = [format_json(item, indent=inner) for item in value]
    else:
        items = _filled([json.dumps(item, ensure_ascii=False) for item in value], _LINE - inner)
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    spaces = " " * inner
    return opening + "\n" + ",\n".join(spaces + item for item in items) + "\n" + " " * indent + closing


def _filled(words: list[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return lines


def _encode_dataclass(value: Any, path: str) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    if isinstance(value, Feature):
        encoded["kind"] = value.kind
    whole = isinstance(value, _WRITTEN_WHOLE)
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if not field.compare or (item == field.default and not whole and field.name not in _ALWAYS_WRITTEN):
            continue
        if field.name == "dtype" and isinstance(value, BehaviourColumn) and value.table is not None:
            continue
        if item is None and field.default is None:
            continue
        place = f"{path}.{field.name}" if path else field.name
        encoded[field.name] = _encode(item, place)
    return encoded


def _encode(value: object, path: str) -> Any:
    if dataclasses.is_dataclass(value):
        return _encode_dataclass(value, path)
    if isinstance(value, tuple):
        return [_encode(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise SchemaError(f"Cannot write {path} of a schema: only finite Python numbers and text. Received: {value!r}.")


def from_json(cls: type[Any], value: dict[str, Any], *, source: str, path: str = "") -> Any:
    """Builds a dataclass of JSON values, tuples of them and further dataclasses from a parsed JSON object.

    Args:
      cls: The dataclass.
      value: Its fields; those with a default may be left out.
      source: Name of the file in errors.
      path: Place of the object in it.

    Raises:
      SchemaError: If a field is unknown, missing or of another type; the message names the place.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.compare}
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in fields:
            raise SchemaError(f"{source}: {prefix}{key}: unknown key. Known: {', '.join(fields)}.")
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _decode(hints[name], value[name], source, prefix + name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SchemaError(f"{source}: {prefix}{name}: missing key.")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise SchemaError(f"{source}: {path + ': ' if path else ''}{error}") from error


def _decode(hint: Any, value: Any, source: str, path: str) -> Any:
    origin = get_origin(hint)
    if hint == Feature:
        return _decode_feature(value, source, path)
    if origin in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return None if value is None else _decode(inner[0], value, source, path)
    if origin is Literal:
        if value not in get_args(hint) or not isinstance(value, str):
            _fail(source, path, f"one of {', '.join(map(repr, get_args(hint)))}", value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            _fail(source, path, "a list", value)
        part = get_args(hint)[0]
        return tuple(_decode(part, item, source, f"{path}[{index}]") for index, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            _fail(source, path, "an object", value)
        return from_json(hint, value, source=source, path=path)  # type: ignore[arg-type]
    return _decode_scalar(hint, value, source, path)


def _decode_feature(value: Any, source: str, path: str) -> Any:
    if not isinstance(value, dict):
        _fail(source, path, "an object", value)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        _fail(source, f"{path}.kind", f"one of {', '.join(map(repr, _KINDS))}", kind)
    fields = {key: item for key, item in value.items() if key != "kind"}
    return from_json(_KINDS[kind], fields, source=source, path=path)


def _decode_scalar(hint: Any, value: Any, source: str, path: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    _fail(source, path, {float: "a number", int: "a whole number", str: "text"}[hint], value)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _fail(source: str, path: str, expected: str, received: object) -> NoReturn:
    place = f"{source}: {path}" if path else source
    shown = json.dumps(received, ensure_ascii=False, default=str)
    raise SchemaError(f"{place}: expected {expected}. Received: {shown[:80]}{'...' if len(shown) > 80 else ''}.")
