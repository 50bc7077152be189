"""The reference of schema.json says what the reader of schema.json does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import schema_reference as pages
from fullrank.data.schema.json import schema_from_json
from fullrank.data.schema.reference import json_schema, markdown
from fullrank.data.schema.schema import SchemaError

Value = dict[str, Any]


def example() -> Value:
    """A schema with a feature of every kind, statistics and shards."""
    numbers = {"mean": 1.5, "std": 1, "minimum": 0, "maximum": 3, "missing": 0.1, "quantiles": [0.0, 3.0]}
    past_item = {"name": "history_item", "table": "item", "target": "item"}
    past_word = {"name": "history_word", "dtype": "bytes", "ids": {"kind": "hash", "size": 10}}
    return {
        "$schema": "schema.schema.json",
        "format": 2,
        "name": "log",
        "features": [
            {"kind": "sparse", "name": "item", "dtype": "int64", "ids": {"kind": "hash", "size": 10}, "side": "ad"},
            {"kind": "sparse", "name": "liked", "table": "item", "max_values": 3, "statistics": None},
            {"kind": "numeric", "name": "price", "map": "log", "bases": [2, 3], "statistics": numbers},
            {"kind": "sequence", "name": "history", "behaviour": [past_item, past_word], "times": "history_time"},
            {"kind": "vector", "name": "image", "length": 8},
            {"kind": "bits", "name": "image_bits", "length": 16},
        ],
        "labels": [{"name": "click", "mean": 0.25}],
        "keys": [{"name": "user", "dtype": "bytes"}],
        "time": "time",
        "splits": [{"name": "train", "shards": [{"file": "train-0.tfrecord", "examples": 3, "size": 100}]}],
    }


def rename(value: Value) -> None:
    value["labls"] = value.pop("labels")


def drop_label_name(value: Value) -> None:
    del value["labels"][0]["name"]


def set_unknown_side(value: Value) -> None:
    value["features"][0]["side"] = "shop"


def set_unknown_kind(value: Value) -> None:
    value["features"][4]["kind"] = "tensor"


def set_text_for_a_number(value: Value) -> None:
    value["features"][4]["length"] = "8"


def set_null_for_a_list(value: Value) -> None:
    value["keys"] = None


def set_another_format(value: Value) -> None:
    value["format"] = 3


def mix_kinds(value: Value) -> None:
    value["features"][4]["max_values"] = 2


def set_names_for_columns(value: Value) -> None:
    value["features"][3]["behaviour"] = ["history_item"]


def test_what_the_reader_accepts_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert schema_from_json(example()).labels[0].mean == 0.25
    jsonschema.validate(example(), json_schema())


@pytest.mark.parametrize(
    "spoil",
    [
        rename,
        drop_label_name,
        set_unknown_side,
        set_unknown_kind,
        set_text_for_a_number,
        set_null_for_a_list,
        set_another_format,
        mix_kinds,
        set_names_for_columns,
    ],
)
def test_what_the_reader_refuses_by_form_is_invalid(spoil: Callable[[Value], None]) -> None:
    value = example()
    spoil(value)
    with pytest.raises(SchemaError):
        schema_from_json(value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json_schema())


def test_defaults_in_the_reference_are_those_of_the_reader() -> None:
    filled = example()
    sparse = json_schema()["$defs"]["Sparse"]["properties"]
    defaults = {name: item["default"] for name, item in sparse.items() if "default" in item}
    assert defaults["pooling"] == "mean"
    filled["features"][0] = {**defaults, **filled["features"][0]}
    assert schema_from_json(filled) == schema_from_json(example())


def test_the_pages_are_up_to_date(repository: Path) -> None:
    for name, text in pages.pages().items():
        assert (repository / "docs" / name).read_text(encoding="utf-8") == text, "run `make schema-page`"


def test_the_page_names_every_field_once_per_object() -> None:
    for name, item in json_schema()["$defs"].items():
        section = markdown().split(f'<a id="{name.lower()}"></a>')[1].split("<a id=")[0]
        for field in set(item["properties"]) - {"kind"}:
            assert section.count(f"| `{field}` |") == 1, (name, field)


def test_json_of_the_reference_is_plain() -> None:
    assert json.loads(json.dumps(json_schema())) == json_schema()
