"""schema.json: exact round trips, and errors that name the file and the place in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank import data
from fullrank.data.schema.json import format_json, schema_from_json, schema_to_json


def full_schema() -> data.Schema:
    """A schema that uses every kind and sets every field to something else than its default."""
    return data.Schema(
        name="full",
        features=(
            data.Sparse(
                name="item",
                dtype="bytes",
                ids=data.IdMap(kind="vocabulary", size=3, min_count=2, max_size=10),
                side="ad",
                group="item",
                statistics=data.SparseStatistics(distinct=3, missing=0.25),
            ),
            data.Sparse(
                name="tags",
                dtype="bytes",
                max_values=4,
                weights="tag_weights",
                pooling="sum",
                table="item",
                statistics=data.SparseStatistics(distinct=9, missing=0.0, mean_length=2.5),
            ),
            data.Sparse(name="user", ids=data.IdMap(kind="hash", size=1000), side="user"),
            data.Numeric(
                name="price",
                side="ad",
                group="price",
                map="log",
                bases=(2, 10),
                bits=12,
                statistics=data.NumericStatistics(
                    mean=0.1, std=1 / 3, minimum=-1e-30, maximum=3e38, missing=0.5, quantiles=(-1e-30, 0.1, 3e38)
                ),
            ),
            data.Sequence(
                name="history",
                behaviour=(
                    data.BehaviourColumn(name="past_item", table="item", target="item"),
                    data.BehaviourColumn(name="past_user", table="user", target="user"),
                ),
                times="past_time",
                max_length=7,
            ),
            data.Vector(
                name="content",
                length=8,
                pair="other",
                side="ad",
                statistics=data.NumericStatistics(mean=0.5, std=1.0, minimum=-1.0, maximum=1.0, missing=0.1),
            ),
            data.Vector(name="other", length=8, side="user"),
            data.Bits(name="hash_id", length=16, group="content"),
        ),
        labels=(
            data.Label(name="click", mean=0.125, observed=1.0),
            data.Label(name="value", type="value"),
        ),
        weight="importance",
        keys=(data.Key(name="user"), data.Key(name="request", dtype="bytes")),
        segments=(data.Key(name="country", dtype="bytes"),),
        time="time",
        time_unit="ms",
        layout="example",
        compression="GZIP",
        splits=(
            data.Split(
                name="train",
                shards=(
                    data.Shard(file="train-00000-of-00002.tfrecord.gz", examples=10, size=123),
                    data.Shard(file="train-00001-of-00002.tfrecord.gz", examples=9),
                ),
            ),
            data.Split(name="test", shards=()),
        ),
    )


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    schema = full_schema()
    file = data.write_schema(schema, tmp_path)
    assert file == tmp_path / "schema.json"
    for path in (tmp_path, str(tmp_path), file):
        read = data.read_schema(path)
        assert read == schema
        assert read.directory == tmp_path
    assert list(tmp_path.iterdir()) == [file], "no temporary file stays behind"


def test_a_file_name_is_taken_as_it_is(tmp_path: Path) -> None:
    file = data.write_schema(full_schema(), tmp_path / "proposal.json")
    assert file == tmp_path / "proposal.json"
    assert data.read_schema(file) == full_schema()


def test_defaults_may_be_left_out() -> None:
    value = {
        "format": 1,
        "name": "small",
        "features": [{"kind": "sparse", "name": "item"}, {"kind": "numeric", "name": "price"}],
        "labels": [{"name": "click"}],
    }
    assert schema_from_json(value) == data.Schema(
        name="small",
        features=(data.Sparse(name="item"), data.Numeric(name="price")),
        labels=(data.Label(name="click"),),
    )


def test_the_first_format_named_table_and_target_by_one_word() -> None:
    value = schema_to_json(full_schema())
    of_first = json.loads(json.dumps(value))
    of_first["format"] = 1
    (sequence,) = (feature for feature in of_first["features"] if feature["kind"] == "sequence")
    columns = sequence.pop("behaviour")
    assert all(column["table"] == column["target"] for column in columns)
    sequence["ids"] = {column["name"]: column["table"] for column in columns}
    assert schema_from_json(of_first) == full_schema()
    sequence["ids"] = {"past_item": 1}
    with pytest.raises(data.SchemaError, match=r"behaviour\[0\].table: expected text. Received: 1"):
        schema_from_json(of_first)


def test_a_column_of_behaviours_may_own_its_table_or_hold_a_hash_id() -> None:
    code = data.Bits(name="code", length=62)
    columns = (
        data.BehaviourColumn(name="past_code", table="code", target="code"),
        data.BehaviourColumn(name="past_word", dtype="bytes", ids=data.IdMap(size=3)),
    )
    again = data.BehaviourColumn(name="other_word", table="past_word")
    schema = data.Schema(
        name="s",
        features=(
            code,
            data.Sequence(name="history", behaviour=columns, max_length=4),
            data.Sequence(name="other", behaviour=(dataclasses.replace(columns[0], name="other_code"), again)),
        ),
        labels=(data.Label(name="click"),),
    )
    assert schema_from_json(json.loads(format_json(schema_to_json(schema)))) == schema
    assert schema.tables == (columns[1],)
    kinds = {column.name: (column.dtype, column.form, column.length) for column in schema.columns}
    assert kinds["past_code"] == ("int64", "many", 4)
    assert kinds["past_word"] == ("bytes", "many", 4)
    assert kinds["other_word"] == ("bytes", "many", 50)
    with pytest.raises(data.SchemaError, match="HashIDs of 63 bits, as 'code' has them: a behaviour takes at most 62"):
        dataclasses.replace(schema, features=(dataclasses.replace(code, length=63), *schema.features[1:]))
    with pytest.raises(data.SchemaError, match="declares past_word more than once"):
        dataclasses.replace(schema, features=(*schema.features, data.Sparse(name="past_word")))


def test_one_feature_is_on_one_line(tmp_path: Path) -> None:
    schema = data.Schema(
        name="small",
        features=(
            data.Sparse(name="item", ids=data.IdMap(size=5), side="ad"),
            data.Sequence(
                name="history", behaviour=(data.BehaviourColumn(name="past_item", table="item", target="item"),)
            ),
        ),
        labels=(data.Label(name="click"),),
    )
    lines = data.write_schema(schema, tmp_path).read_text().splitlines()
    # Defaults that nobody looks for (pooling, max_values) are left out; dtype, side and kind are always there.
    item = (
        '{"kind": "sparse", "name": "item", "dtype": "int64", "ids": {"kind": "vocabulary", "size": 5}, "side": "ad"}'
    )
    assert f"    {item}," in lines
    assert '      "behaviour": [{"name": "past_item", "table": "item", "target": "item"}],' in lines
    assert all(len(line) <= 120 for line in lines)


def test_long_lists_of_numbers_fill_lines() -> None:
    text = format_json({"quantiles": [index / 7 for index in range(60)]})
    assert json.loads(text) == {"quantiles": [index / 7 for index in range(60)]}
    assert max(map(len, text.splitlines())) <= 120
    assert len(text.splitlines()) < 20


names = st.text(min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    name=names,
    side=st.sampled_from(["user", "ad", "context"]),
    ids=st.builds(
        data.IdMap,
        kind=st.sampled_from(["identity", "vocabulary", "hash"]),
        size=st.integers(1, 10**12),
        min_count=st.integers(1, 9),
        max_size=st.none() | st.integers(1, 10**9),
    ),
    statistics=st.none()
    | st.builds(
        data.NumericStatistics,
        mean=numbers,
        std=numbers,
        minimum=numbers,
        maximum=numbers,
        missing=numbers,
        quantiles=st.lists(numbers, max_size=40).map(tuple),
    ),
    mean=st.none() | numbers,
)
def test_any_value_survives(name: str, side: Any, ids: data.IdMap, statistics: Any, mean: float | None) -> None:
    schema = data.Schema(
        name=name,
        features=(
            data.Sparse(name="s" + name, ids=ids, side=side),
            data.Numeric(name="n" + name, statistics=statistics),
        ),
        labels=(data.Label(name="l" + name, mean=mean),),
    )
    text = format_json(schema_to_json(schema))
    assert schema_from_json(json.loads(text)) == schema


def edited(change: dict[str, Any]) -> dict[str, Any]:
    """The full schema as JSON with values set at dotted paths, or taken out where the value is `...`."""
    value: dict[str, Any] = json.loads(json.dumps(schema_to_json(full_schema())))
    for path, new in change.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = value
        for part in parents:
            place = place[part]
        if new is ...:
            del place[last]
        else:
            place[last] = new
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, ["format", "formats 1 and 2", "3"]),
        ({"format": ...}, ["format"]),
        ({"colour": "red"}, ["colour", "unknown key", "features"]),
        ({"features.0.colour": "red"}, ["features[0].colour", "unknown key", "max_values"]),
        ({"features.0.ids.colour": 1}, ["features[0].ids.colour", "unknown key"]),
        ({"features.0.name": ...}, ["features[0].name", "missing key"]),
        ({"features.0.kind": "spare"}, ["features[0].kind", "'sparse'", "spare"]),
        ({"features.0.kind": ...}, ["features[0].kind", "null"]),
        ({"features.0.max_values": "3"}, ["features[0].max_values", "whole number", '"3"']),
        ({"features.0.max_values": 3.0}, ["features[0].max_values", "whole number"]),
        ({"features.0.max_values": True}, ["features[0].max_values", "whole number", "true"]),
        ({"features.3.statistics.mean": "low"}, ["features[3].statistics.mean", "a number"]),
        ({"features.3.statistics.quantiles.1": None}, ["features[3].statistics.quantiles[1]", "a number"]),
        ({"features.3.map": "logarithm"}, ["features[3].map", "'quantile'", "'log'", "'linear'", "logarithm"]),
        ({"features.3.bases": [2, 2.5]}, ["features[3].bases[1]", "whole number"]),
        ({"features.3.bases": [2, 1]}, ["features[3]", "of at least 2", "[2, 1]"]),
        ({"features.3.bases": [3, 3]}, ["features[3]", "different", "[3, 3]"]),
        ({"features.3.bits": 32}, ["features[3]", "1 to 31 bits", "32"]),
        ({"features.5.pair": "content"}, ["'content'", "not another vector", "other"]),
        ({"features.5.length": 4}, ["'content'", "length 4", "'other'"]),
        ({"features.3.statistics": []}, ["features[3].statistics", "an object"]),
        ({"features.0.dtype": "string"}, ["features[0].dtype", "'int64'", "'bytes'", "string"]),
        ({"features.0.dtype": ["int64"]}, ["features[0].dtype", "'int64'"]),
        ({"features.4.ids": {"a": "item"}}, ["features[4].ids", "unknown key", "behaviour"]),
        ({"features.4.behaviour": {"a": "item"}}, ["features[4].behaviour", "a list"]),
        ({"features.4.behaviour.0.table": "nowhere"}, ["'history'", "'past_item'", "'nowhere'", "item"]),
        ({"features.4.behaviour.0.target": "shop"}, ["'past_item'", "'shop'", "not a feature of its table 'item'"]),
        ({"features.4.behaviour.0.table": ...}, ["features[4].behaviour[0]", "name the table"]),
        ({"features.4.behaviour.0.dtype": "bytes"}, ["features[4].behaviour[0]", "leave out dtype"]),
        ({"features.4.behaviour.1.name": "past_item"}, ["features[4]", "names a column twice"]),
        (
            {"features.4.behaviour.0.target": ..., "features.4.behaviour.1.target": ...},
            ["features[4]", "compares nothing with the target"],
        ),
        ({"features.2.ids": {"kind": "hash"}}, ["features[2].ids", "'hash'", "size >= 1"]),
        ({"features.1.name": "item"}, ["declares item more than once"]),
        ({"features.0.name": "a\nb", "features.1.name": "a\nb"}, [r"declares a\nb more than once"]),
        ({"features.3.a\rb\u2028c": 1}, [r"features[3].a\rb\u2028c: unknown key"]),
        ({"name": "a\x1b[2J\nb", "labels": []}, [r"\x1b[2J\nb", "at least one feature"]),
        ({"features": {}}, ["features", "a list"]),
        ({"labels": ["click"]}, ["labels[0]", "an object"]),
        ({"labels": []}, ["at least one feature and one label"]),
        ({"layout": "rows"}, ["layout", "'block'", "rows"]),
        ({"splits.0.shards.0.examples": -0.5}, ["splits[0].shards[0].examples", "whole number"]),
        ({"splits.0.shards.0.file": "../../secret"}, ["splits[0].shards[0].file", "below the schema"]),
        ({"splits.0.shards.0.file": "/etc/passwd"}, ["splits[0].shards[0].file", "below the schema"]),
    ],
)
def test_errors_name_file_and_place(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(edited(change)))
    with pytest.raises(data.SchemaError) as error:
        data.read_schema(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{file}: ")
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["not valid JSON"]),
        ("{", ["not valid JSON"]),
        ("[" * 100_000, ["not valid JSON"]),
        ('{"format": 1, "format": 1}', ["'format' is given twice"]),
        ('{"format": NaN}', ["NaN is not a number"]),
        ("3", ["a schema is a JSON object"]),
        ("\ud800", ["not valid JSON"]),
    ],
)
def test_text_that_is_not_a_json_object(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "schema.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(data.SchemaError) as error:
        data.read_schema(tmp_path)
    for word in [str(tmp_path), *words]:
        assert word in str(error.value)


def test_no_file_and_no_directory(tmp_path: Path) -> None:
    with pytest.raises(data.SchemaError, match="holds no records"):
        data.read_schema(tmp_path)
    with pytest.raises(data.SchemaError, match="no such file"):
        data.read_schema(tmp_path / "nowhere")


@pytest.mark.parametrize("mean", [float("nan"), float("inf")])
def test_statistics_that_json_cannot_hold_are_refused(tmp_path: Path, mean: float) -> None:
    schema = dataclasses.replace(full_schema(), labels=(data.Label(name="click", mean=mean),))
    with pytest.raises(data.SchemaError, match=r"labels\[0\]\.mean"):
        data.write_schema(schema, tmp_path)
    assert list(tmp_path.iterdir()) == []
