"""The reference of `schema.json`, made from the classes that read it: a JSON Schema for editors, a page for people.

Names, types, defaults and choices come from the dataclasses of `features` and `schema`, the meanings from their
docstrings, so the reference cannot contradict the reader.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from fullrank.data.schema.features import (
    BehaviourColumn,
    Feature,
    IdMap,
    Key,
    Label,
    NumericStatistics,
    SparseStatistics,
)
from fullrank.data.schema.json import FORMAT
from fullrank.data.schema.reading import Along, Derived, History, Input, Past, Reading
from fullrank.data.schema.schema import Schema, Shard, Split

_FEATURES: Final[tuple[type[Any], ...]] = get_args(Feature)
_READ: Final[tuple[type[Any], ...]] = (Reading, Derived, Input, History, Along, Past)
_WRITTEN: Final[tuple[type[Any], ...]] = (SparseStatistics, NumericStatistics, Split, Shard)
_OBJECTS: Final[tuple[type[Any], ...]] = (Schema, *_FEATURES, BehaviourColumn, IdMap, Label, Key, *_READ, *_WRITTEN)
_SCALARS: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SEE_FIELD: Final = re.compile(r"As in `(\w+)`\.")


def json_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of `schema.json`, with which an editor completes names and marks mistakes.

    Mistakes that involve several parts, such as a sequence that shares an undeclared table, are left to `read_schema`.
    """
    schema = _object(Schema)
    schema["properties"] = {
        "$schema": {"type": "string", "description": "Location of this JSON Schema; editors look for it."},
        "format": {"const": FORMAT, "description": "Version of the format of the file."},
        **schema["properties"],
    }
    schema["required"] = ["format", *schema["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "schema.json of a fullrank data set",
        **schema,
        "$defs": {cls.__name__: _object(cls) for cls in _OBJECTS[1:]},
    }


def markdown() -> str:
    """A page with every object of `schema.json` and every field in it."""
    parts = [
        "# `schema.json`, field by field",
        "A schema says what the records of a data set hold. `infer` proposes one, you may edit it, `convert` adds "
        "statistics, and every run and every exported model contains it. A field that equals its default "
        "may be left out. An unknown or repeated key is an error that names its place.",
        f'Every file begins with `"format": {FORMAT}`. For completion in an editor, let `"$schema"` name '
        "[schema.schema.json](schema.schema.json).",
        *(_section(cls) for cls in _OBJECTS),
    ]
    return "\n\n".join(parts) + "\n"


def field_meanings(cls: type[Any]) -> dict[str, str]:
    """Field -> its meaning in the docstring of a class; `As in X` is replaced by the meaning in X."""
    text = inspect.cleandoc(cls.__doc__ or "")
    _, _, attributes = text.partition("\nAttributes:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        start = re.match(r"  (\w+): (.*)", line)
        if start:
            name = start[1]
            meanings[name] = start[2]
        elif name:
            meanings[name] = f"{meanings[name]} {line.strip()}".strip()
    by_name = {other.__name__: other for other in _OBJECTS}
    for name, meaning in meanings.items():
        same = _SEE_FIELD.fullmatch(meaning)
        if same:
            meanings[name] = field_meanings(by_name[same[1]])[name]
    return {name: meaning.replace("`None`", "`null`") for name, meaning in meanings.items()}


def _object(cls: type[Any]) -> dict[str, Any]:
    hints = _hints(cls)
    meanings = field_meanings(cls)
    properties: dict[str, Any] = {"kind": {"const": cls.kind}} if cls in _FEATURES else {}
    required = list(properties)
    for field in _fields(cls):
        properties[field.name] = _type(hints[field.name])
        properties[field.name]["description"] = meanings[field.name]
        if field.default is dataclasses.MISSING:
            required.append(field.name)
        elif isinstance(field.default, (str, int, float)):
            properties[field.name]["default"] = field.default
    return {
        "type": "object",
        "description": _first_paragraph(cls),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(hint: Any) -> dict[str, Any]:
    """The JSON Schema of a type hint."""
    origin = get_origin(hint)
    if hint == Feature:
        return {"oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in _FEATURES]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(part) for part in get_args(hint) if part is not type(None)] + [{"type": "null"}]}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is tuple:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}  # type: ignore[union-attr]
    return {"type": _SCALARS[hint]}


def _section(cls: type[Any]) -> str:
    title = "The file itself" if cls is Schema else f"`{cls.__name__}`"
    if cls in _FEATURES:
        title = f'A feature with `"kind": "{cls.kind}"`'
    hints = _hints(cls)
    meanings = field_meanings(cls)
    rows = [
        (f"`{field.name}`", _type_in_words(hints[field.name]), _default(field), meanings[field.name])
        for field in _fields(cls)
    ]
    anchor = f'<a id="{cls.__name__.lower()}"></a>'
    table = _table(("field", "type", "default", "meaning"), rows)
    return f"{anchor}\n\n## {title}\n\n{_first_paragraph(cls)}\n\n{table}"


def _type_in_words(hint: Any) -> str:
    origin = get_origin(hint)
    if hint == Feature:
        return "feature, by its `kind`: " + ", ".join(f"[{cls.kind}](#{cls.__name__.lower()})" for cls in _FEATURES)
    if origin in (Union, types.UnionType):
        return " or ".join("`null`" if part is type(None) else _type_in_words(part) for part in get_args(hint))
    if origin is Literal:
        return ", ".join(f'`"{choice}"`' for choice in get_args(hint))
    if origin is tuple:
        return f"list of {_type_in_words(get_args(hint)[0])}"
    if dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"  # type: ignore[union-attr]
    return {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}[hint]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default is None:
        return "`null`"
    if field.default == ():
        return "`[]`"
    if dataclasses.is_dataclass(field.default):
        return "its defaults"
    return f'`"{field.default}"`' if isinstance(field.default, str) else f"`{field.default}`"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _first_paragraph(cls: type[Any]) -> str:
    text = inspect.cleandoc(cls.__doc__ or "").split("\n\nAttributes:")[0]
    return " ".join(text.split())


def _fields(cls: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    """The fields that are in the file."""
    return tuple(field for field in dataclasses.fields(cls) if field.compare)


def _hints(cls: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(cls)
