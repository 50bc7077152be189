"""Both record layouts: what is written is what is read, for every kind of column."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_rows import SCHEMA, as_bytes, random_columns

from fullrank import data
from fullrank.data.records.block_layout import block_parser, decode_block, unpacker
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.example_layout import ExampleError, decode_examples
from fullrank.data.records.packing import BlockError, Packing
from fullrank.data.schema.ragged import take_rows
from fullrank.data.writing.writer import check_columns

LAYOUTS = [("example", ""), ("block", ""), ("example", "GZIP"), ("block", "GZIP")]


def dense(columns: dict[str, Any], schema: data.Schema = SCHEMA) -> dict[str, np.ndarray]:
    """What a batch of these rows has to be, row by row."""
    batch = {}
    for column in schema.columns:
        values = columns[column.name]
        if column.form == "many":
            rows = [row[-column.length :] for row in values.to_lists()]
            filled = [row + [column.missing] * (column.length - len(row)) for row in rows]
            batch[column.name] = np.array(filled, dtype=column.numpy_dtype).reshape(len(rows), column.length)
        else:
            batch[column.name] = values
    return batch


def assert_equal(batch: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    assert sorted(batch) == sorted(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(np.asarray(batch[name]), values, err_msg=name)


def joined(batches: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize(("layout", "compression"), LAYOUTS)
def test_what_is_written_is_read(tmp_path: Path, layout: Any, compression: Any) -> None:
    columns = random_columns(23, seed=1)
    schema = dataclasses.replace(SCHEMA, layout=layout, compression=compression)
    vocabularies = {"item": [3, 1, 2]}
    written = data.write_records(
        tmp_path / "set",
        schema=schema,
        splits={"train": columns, "test": take_rows(columns, np.arange(2))},
        vocabularies=vocabularies,
        shards=2,
        block_rows=4,
    )
    assert data.read_schema(tmp_path / "set") == written
    ending = ".gz" if compression else ""
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "schema.json",
        *(f"{split}-0000{shard}-of-00002.tfrecord{ending}" for split in ("test", "train") for shard in (0, 1)),
        "vocabulary",
    ]
    assert [shard.examples for shard in written.split("train").shards] == [11, 12]
    dataset = data.read_records(tmp_path / "set", batch_size=5)
    assert {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()} == {
        column.name: list(column.batch_shape) for column in schema.columns
    }
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["time"]) for batch in batches] == [5, 5, 5, 5, 3]
    assert_equal(joined(batches), dense(columns))


def test_example_bytes_are_what_protocol_buffers_write() -> None:
    """The same messages, built by TensorFlow's classes one value at a time."""
    rows = 7
    columns = random_columns(rows, seed=2)
    for row, record in enumerate(data.encode_examples(columns, schema_columns=SCHEMA.columns)):
        example = tf.train.Example()
        for column in SCHEMA.columns:
            values = columns[column.name]
            if isinstance(values, data.Ragged):
                found = values.to_lists()[row]
            else:
                found = np.atleast_1d(values[row]).tolist()
                # NaN is the only value that differs from itself.
                if all(value == column.missing or value != value for value in found) and column.pad is None:
                    continue
            if not found:
                continue
            kind = {"int64": "int64_list", "float32": "float_list", "bytes": "bytes_list"}[column.dtype]
            getattr(example.features.feature[column.name], kind).value.extend(found)
        assert tf.train.Example.FromString(record) == example


def test_examples_of_another_writer_are_read() -> None:
    """Absent and empty features are missing, features of other names are ignored, long rows keep their end."""
    example = tf.train.Example()
    example.features.feature["past_item"].int64_list.value.extend([1, 2, 3, 4, 5, 6])
    example.features.feature["past_query"].bytes_list.value.extend([b"a", b"b", b"c", b"d", b"e", b"f"])
    example.features.feature["past_time"].int64_list.value.extend([10, 20, 30, 40, 50, 60])
    example.features.feature["price"].SetInParent()
    example.features.feature["something else"].float_list.value.append(1.0)
    parse = data.example_parser(SCHEMA.columns)
    batch = parse(tf.constant([example.SerializeToString()]))
    assert batch["past_item"].numpy().tolist() == [[3, 4, 5, 6]]
    assert batch["past_query"].numpy().tolist() == [[b"c", b"d", b"e", b"f"]]
    assert batch["item"].numpy().tolist() == [-1]
    assert batch["hash_id"].numpy().tolist() == [[-1] * 5]
    assert batch["tags"].numpy().tolist() == [[b""] * 3]
    assert batch["tag_weights"].numpy().tolist() == [[0.0] * 3]
    assert batch["brand_weight"].numpy().tolist() == [0.0]
    assert np.isnan(batch["price"].numpy()).all()
    assert np.isnan(batch["content"].numpy()).all()


int64s = st.integers(-(2**63), 2**63 - 1)


floats = st.floats(width=32, allow_nan=False)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "id": int64s,
                "text": st.binary(max_size=5),
                "number": floats | st.just(float("nan")),
                "ids": st.lists(int64s, max_size=6),
                "texts": st.lists(st.binary(max_size=3), max_size=6),
                "vector": st.tuples(floats, floats) | st.just((float("nan"), float("nan"))),
                "bits": st.tuples(int64s, int64s),
            }
        ),
        min_size=1,
        max_size=9,
    ),
    cut=st.integers(0, 9),
)
def test_both_layouts_decode_to_what_was_encoded(rows: list[dict[str, Any]], cut: int) -> None:
    """Any values, split at any row into two records; decoded outside and inside a graph."""
    schema_columns = [
        data.Column(name="id", dtype="int64"),
        data.Column(name="text", dtype="bytes"),
        data.Column(name="number", dtype="float32"),
        data.Column(name="ids", dtype="int64", form="many", length=3),
        data.Column(name="texts", dtype="bytes", form="many", length=3),
        data.Column(name="vector", dtype="float32", form="fixed", length=2),
        data.Column(name="bits", dtype="int64", form="fixed", length=2),
    ]
    columns: dict[str, Any] = {}
    for column in schema_columns:
        values = [row[column.name] for row in rows]
        if column.form == "many":
            columns[column.name] = data.Ragged.from_lists(values, dtype=column.numpy_dtype)
        else:
            columns[column.name] = np.array(values, dtype=column.numpy_dtype)
    expected = {}
    for column in schema_columns:
        if column.form == "many":
            lists = [row[column.name][-3:] for row in rows]
            filled = [values + [column.missing] * (3 - len(values)) for values in lists]
            expected[column.name] = np.array(filled, dtype=column.numpy_dtype).reshape(len(rows), 3)
        else:
            expected[column.name] = columns[column.name]

    records = data.encode_examples(columns, schema_columns=schema_columns)
    assert_equal(PARSE_EXAMPLES(tf.constant(records)), expected)
    decoded = decode_examples(records, schema_columns=schema_columns)
    assert_columns_equal(decoded, columns)

    packing = Packing(tuple(schema_columns))
    order = np.arange(len(rows))
    parts = [order[:cut], order[cut:]]
    blocks = [encode_block(take_rows(columns, part), packing=packing) for part in parts if part.size]
    found, first, _ = decode_block(blocks[0])
    assert found.header() == packing.header()
    cut_columns = {name: c.last(3) if isinstance(c, data.Ragged) else c for name, c in columns.items()}
    assert_columns_equal(first, take_rows(cut_columns, next(part for part in parts if part.size)))
    assert_equal(PARSE_BLOCKS(tf.constant(blocks)), expected)


def assert_columns_equal(found: dict[str, Any], expected: Any) -> None:
    assert list(found) == list(expected) or sorted(found) == sorted(expected)
    for name, values in expected.items():
        if isinstance(values, data.Ragged):
            assert found[name].to_lists() == values.to_lists()
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def _parsers() -> tuple[Any, Any]:
    columns = [
        data.Column(name="id", dtype="int64"),
        data.Column(name="text", dtype="bytes"),
        data.Column(name="number", dtype="float32"),
        data.Column(name="ids", dtype="int64", form="many", length=3),
        data.Column(name="texts", dtype="bytes", form="many", length=3),
        data.Column(name="vector", dtype="float32", form="fixed", length=2),
        data.Column(name="bits", dtype="int64", form="fixed", length=2),
    ]
    packing = Packing(tuple(columns))
    parse, unpack = block_parser(packing, columns=columns), unpacker(packing, columns=columns)
    signature = [tf.TensorSpec([None], tf.string)]
    return (
        tf.function(data.example_parser(columns), input_signature=signature),
        tf.function(lambda blocks: unpack(parse(blocks)), input_signature=signature),
    )


PARSE_EXAMPLES, PARSE_BLOCKS = _parsers()


def test_blocks_of_the_same_rows_are_the_same_bytes() -> None:
    columns = random_columns(6, seed=3)
    packing = Packing(SCHEMA.columns)
    assert encode_block(columns, packing=packing) == encode_block(dict(reversed(columns.items())), packing=packing)


def test_a_block_can_be_read_with_fewer_columns_and_shorter_rows() -> None:
    columns = random_columns(6, seed=4)
    packing = Packing(SCHEMA.columns)
    wanted = [dataclasses.replace(c, length=2) if c.form == "many" else c for c in SCHEMA.columns][1::2]
    blocks = tf.constant([encode_block(columns, packing=packing)])
    batch = unpacker(packing, columns=wanted)(block_parser(packing, columns=wanted)(blocks))
    expected = {}
    for column in wanted:
        values = columns[column.name]
        if isinstance(values, data.Ragged):
            lists = [row[-2:] + [column.missing] * (2 - len(row)) for row in values.to_lists()]
            values = np.array(lists, dtype=column.numpy_dtype)
        expected[column.name] = values
    assert_equal(batch, expected)


def test_blocks_of_other_columns_in_one_window_stop_the_graph() -> None:
    columns = random_columns(2, seed=5)
    one, other = Packing(SCHEMA.columns), Packing(SCHEMA.columns[::-1])
    blocks = tf.constant([encode_block(columns, packing=packing) for packing in (one, other)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="different columns"):
        block_parser(one, columns=SCHEMA.columns)(blocks)


def test_records_of_the_wrong_layout_say_so() -> None:
    columns = random_columns(1, seed=6)
    example = data.encode_examples(columns, schema_columns=SCHEMA.columns)[0]
    block = encode_block(columns, packing=Packing(SCHEMA.columns))
    with pytest.raises(BlockError, match="not a block of rows but"):
        decode_block(example)
    with pytest.raises(BlockError, match="this is not a block of rows, nor"):
        decode_block(b"\xff\xff\xff")
    with pytest.raises(ExampleError, match="this is not a tf"):
        decode_examples([b"\xff\xff\xff"], schema_columns=SCHEMA.columns)
    assert decode_block(block)[1].keys() == columns.keys()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("item", np.zeros(3, np.int32), "'item' has dtype int64. Received: int32"),
        ("item", np.zeros((3, 1), np.int64), "'item' is one"),
        ("item", np.zeros(4, np.int64), "differ in their number of rows"),
        ("item", data.Ragged(np.zeros(3, np.int64), np.ones(3, np.int32)), "'item' is one"),
        ("codes", np.zeros(3, np.int64), "'codes' is many"),
        ("codes", data.Ragged(np.zeros(3, np.int64), np.zeros(3, np.int32)), "'codes': lengths add up to 0, not 3"),
        ("content", np.zeros((3, 2), np.float32), "'content' is fixed of length 3"),
        ("content", np.array([[1, np.nan, 1]] * 3, np.float32), "'content', row 0: a vector must be finite"),
        ("price", np.array([1, np.inf, 1], np.float32), "'price', row 1: a number must be finite. Received: inf"),
        ("importance", np.array([1, 1, -np.inf], np.float32), "'importance', row 2: a number must be finite"),
        ("value", np.array([1, np.inf, 1], np.float32), "'value', row 1: the value of a label"),
        ("click", np.array([0, 1, 2], np.float32), "'click', row 2: a binary label must be 0 or 1. Received: 2"),
        ("hash_id", np.array([[0, 1, 1, 0, 2]] * 3), "'hash_id', row 0: bits must be 0 or 1"),
        ("hash_id", np.array([[0, 1, 1, 0, -1]] * 3), "'hash_id', row 0: bits must be 0 or 1"),
        ("brand_weight", np.array([0, np.nan, 0], np.float32), "'brand_weight', row 1: the weight of an id"),
        (
            "tag_weights",
            data.Ragged(np.ones(9, np.float32), np.full(3, 3, np.int32)),
            "'tag_weights', row 0: columns that belong together",
        ),
        ("nothing", np.zeros(3), "Missing: none. Unknown: nothing."),
        ("item", None, "Missing: item. Unknown: none."),
    ],
)
def test_columns_that_do_not_fit_the_schema_are_refused(name: str, value: Any, words: str) -> None:
    columns = random_columns(3, seed=7)
    columns["tags"] = data.Ragged(as_bytes(np.arange(3)), np.ones(3, np.int32))
    columns["tag_weights"] = data.Ragged(np.ones(3, np.float32), np.ones(3, np.int32))
    assert check_columns(columns, schema=SCHEMA) == 3
    columns[name] = value
    if value is None:
        del columns[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        check_columns(columns, schema=SCHEMA)


@pytest.mark.parametrize("layout", ["example", "block"])
def test_nothing_half_written_stays_behind(tmp_path: Path, layout: Any) -> None:
    schema = dataclasses.replace(SCHEMA, layout=layout)
    columns = random_columns(5, seed=8)
    wrong = {**columns, "click": np.full(5, 3, np.float32)}

    def write() -> None:
        with data.RecordWriter(tmp_path, schema=schema, split="a") as writer:
            writer.write(columns)
            writer.write(wrong)

    with pytest.raises(ValueError, match="binary label"):
        write()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="binary label"):
        data.write_records(tmp_path / "set", schema=schema, splits={"train": columns, "test": wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_shard_knows_its_size_once_it_is_closed(tmp_path: Path) -> None:
    columns = random_columns(5, seed=9)
    with data.RecordWriter(tmp_path, schema=SCHEMA, split="train", shard=1, shards=3, block_rows=2) as writer:
        writer.write(take_rows(columns, np.arange(3)))
        writer.write(take_rows(columns, np.arange(3, 5)))
        assert not (tmp_path / "train-00001-of-00003.tfrecord").exists()
    file = tmp_path / "train-00001-of-00003.tfrecord"
    assert writer.shard == data.Shard(file=file.name, examples=5, size=file.stat().st_size)
    rows = [len(decode_block(record)[1]["time"]) for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]
    assert rows == [2, 2, 1], "blocks do not end where a call of write ends"


def test_a_directory_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        data.write_records(tmp_path, schema=SCHEMA, splits={"train": random_columns(1, seed=0)})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
