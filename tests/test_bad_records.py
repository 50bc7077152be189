"""Damage to records: noticed before the first step where that is cheap, named always, read around when asked."""

from __future__ import annotations

import dataclasses
import gzip
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank import data
from fullrank.data.bad_records import bad_shards
from fullrank.data.block_layout import Packing, encode_block
from fullrank.data.ragged import take_rows
from fullrank.data.record_file import read_frames
from fullrank.data.repair import repair_split
from fullrank.data.value_rules import ABSENT, aligned_columns, batch_check, value_rules

ROWS = 40
FILES = 2
BLOCK_ROWS = 5
SCHEMA = data.Schema(
    name="small",
    features=(
        data.Sparse(name="item", ids=data.IdMap(kind="identity", size=ROWS)),
        data.Sparse(name="tags", dtype="bytes", max_values=3, weights="tag_weights"),
        data.Numeric(name="price"),
        data.Vector(name="content", length=2),
        data.Bits(name="bits", length=2),
    ),
    labels=(data.Label(name="click"),),
)


def columns_of(rows: int) -> dict[str, Any]:
    """Row i has item i, and everything else follows from i."""
    index = np.arange(rows)
    lengths = (index % 4).astype(np.int32)
    return {
        "item": index,
        "tags": data.Ragged(np.array([b"t%d" % i for i in np.repeat(index, lengths)], dtype=object), lengths),
        "tag_weights": data.Ragged(np.repeat(index, lengths).astype(np.float32), lengths),
        "price": np.where(index % 5 == 0, np.nan, index / 2).astype(np.float32),
        "content": np.where(index[:, None] % 3 == 0, np.nan, index[:, None] + [[0.0, 0.5]]).astype(np.float32),
        "bits": np.stack([index % 2, index // 2 % 2], axis=1),
        "click": (index % 2).astype(np.float32),
    }


def write(directory: Path, layout: Any, compression: Any = "") -> data.Schema:
    return data.write_records(
        directory,
        schema=dataclasses.replace(SCHEMA, layout=layout, compression=compression),
        splits={"train": columns_of(ROWS)},
        shards=FILES,
        block_rows=BLOCK_ROWS,
    )


def second_file(schema: data.Schema) -> Path:
    assert schema.directory is not None
    return schema.directory / schema.split("train").shards[1].file


def without_sizes(schema: data.Schema) -> data.Schema:
    """As if another program had written the schema, so that damage shows only when it is read."""
    splits = [
        dataclasses.replace(split, shards=tuple(dataclasses.replace(shard, size=None) for shard in split.shards))
        for split in schema.splits
    ]
    return dataclasses.replace(schema, splits=tuple(splits))


def items_of(dataset: Any) -> list[int]:
    return [item for batch in dataset.as_numpy_iterator() for item in batch["item"].tolist()]


def read_or_explained(schema: data.Schema) -> list[int] | str:
    """The rows, or what a user is told: before the first step, or when something stopped the pipeline."""
    try:
        return items_of(data.read_records(schema, batch_size=8))
    except data.BadDataError as error:
        return str(error)
    except data.INPUT_ERRORS as error:
        return str(data.explain(error, schema=schema, split="train"))


def error_of(schema: data.Schema) -> str:
    """What a user is told of records that are bad."""
    found = read_or_explained(schema)
    assert isinstance(found, str), "nothing was noticed"
    return found


# Before the first step


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "cannot read this shard: No such file"),
        (lambda file: file.write_bytes(b""), "the file has 0 bytes, but"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "were written: it is damaged or not of this data set"),
        (lambda file: (file.unlink(), file.mkdir()), "this shard is not a file"),
    ],
)
@pytest.mark.parametrize("layout", ["example", "block"])
def test_cheap_checks_before_the_first_step(
    tmp_path: Path, layout: str, damage: Callable[[Path], Any], words: str
) -> None:
    schema = write(tmp_path / "set", layout)
    damage(second_file(schema))
    with pytest.raises(data.BadDataError, match=re.escape(f"{second_file(schema)}: ")) as error:
        data.read_records(schema, batch_size=8)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_file_without_a_recorded_size(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "block"))
    second_file(schema).write_bytes(b"")
    with pytest.raises(data.BadDataError, match="the file is empty, but the schema says 20 examples"):
        data.read_records(schema, batch_size=8)


def test_the_wrong_layout_is_noticed_before_the_first_step(tmp_path: Path) -> None:
    block, example = write(tmp_path / "block", "block"), write(tmp_path / "example", "example")
    with pytest.raises(data.BadDataError, match=r"train-00000-of-00002.tfrecord, record 0: this is not a block"):
        data.read_records(dataclasses.replace(example, layout="block"), batch_size=8)
    with pytest.raises(data.BadDataError, match=r"train-00000-of-00002.tfrecord, record 0: this is a block"):
        data.read_records(dataclasses.replace(block, layout="example"), batch_size=8)
    with pytest.raises(data.BadDataError, match=r"train-00000-of-00002.tfrecord, record 0: damaged gzip"):
        data.read_records(dataclasses.replace(block, compression="GZIP"), batch_size=8)


@pytest.mark.parametrize("layout", ["example", "block"])
def test_a_file_of_another_data_set_is_noticed_before_the_first_step(tmp_path: Path, layout: Any) -> None:
    schema = without_sizes(write(tmp_path / "set", layout))
    other = data.write_records(
        tmp_path / "other",
        schema=data.Schema(
            name="other",
            features=(data.Numeric(name="height"),),
            labels=(data.Label(name="sold"),),
            layout=layout,
        ),
        splits={"train": {"height": np.ones(4, np.float32), "sold": np.ones(4, np.float32)}},
    )
    shutil.copy(tmp_path / "other" / other.split("train").shards[0].file, second_file(schema))
    with pytest.raises(data.BadDataError, match=re.escape(str(second_file(schema)))) as error:
        data.read_records(schema, batch_size=8)
    assert "height, sold" in str(error.value)
    # Of the right kind, but with a column of another type.
    changed = dataclasses.replace(other, features=(data.Sparse(name="height"),))
    with pytest.raises(data.BadDataError, match="'height'"):
        data.read_records(changed, batch_size=8)


def test_files_whose_blocks_hold_other_columns(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "block"))
    more = dataclasses.replace(SCHEMA, features=(*SCHEMA.features, data.Numeric(name="height")))
    columns = {**columns_of(4), "height": np.ones(4, np.float32)}
    with tf.io.TFRecordWriter(str(second_file(schema))) as writer:
        writer.write(encode_block(columns, packing=Packing(more.columns)))
    with pytest.raises(data.BadDataError, match=re.escape(f"{second_file(schema)}: its blocks hold other columns")):
        data.read_records(schema, batch_size=8)


# While reading


def damaged(schema: data.Schema, change: Callable[[bytearray], None]) -> Path:
    """Changes the bytes of the second file, below the compression."""
    file = second_file(schema)
    raw = file.read_bytes()
    content = bytearray(gzip.decompress(raw) if schema.compression else raw)
    change(content)
    file.write_bytes(gzip.compress(bytes(content)) if schema.compression else bytes(content))
    return file


def frame_starts(content: bytes | bytearray) -> list[int]:
    """Where each record begins."""
    starts, position = [], 0
    while position < len(content):
        starts.append(position)
        position += struct.unpack_from("<Q", content, position)[0] + 16
    return starts


def flip(record: int, offset: int) -> Callable[[bytearray], None]:
    """Flips a bit `offset` bytes after the beginning of a record."""

    def change(content: bytearray) -> None:
        content[frame_starts(content)[record] + offset] ^= 1

    return change


def cut(record: int, offset: int) -> Callable[[bytearray], None]:
    """Ends the file `offset` bytes after the beginning of a record."""

    def change(content: bytearray) -> None:
        del content[frame_starts(content)[record] + offset :]

    return change


@pytest.mark.parametrize(
    ("layout", "compression", "change", "words", "lost_after"),
    [
        ("example", "", flip(2, 30), "damaged data", False),
        ("block", "", flip(2, 30), "damaged data", False),
        ("block", "GZIP", flip(2, 30), "damaged data", False),
        ("example", "GZIP", flip(2, 3), "damaged length", True),
        ("block", "", flip(2, 9), "damaged length", True),
        ("example", "", cut(2, 30), "cut off", True),
        ("block", "GZIP", cut(2, 30), "cut off", True),
        ("block", "", cut(2, 5), "cut off", True),
    ],
)
def test_damaged_frames_are_named_and_read_around(
    tmp_path: Path, layout: str, compression: str, change: Callable[[bytearray], None], words: str, lost_after: bool
) -> None:
    schema = without_sizes(write(tmp_path / "set", layout, compression))
    file = damaged(schema, change)
    if words == "cut off":
        # TensorFlow takes some files that end within a record for files that end before it.
        message = str(data.diagnose(schema, split="train"))
    else:
        message = error_of(schema)
        assert message.endswith("Leave bad records out with on_bad_record=skip.")
    assert message.startswith(f"{file}, record 2: ")
    assert words in message

    rows = BLOCK_ROWS if layout == "block" else 1
    lost = range(20 + 2 * rows, ROWS if lost_after else 20 + 3 * rows)
    repaired = repair_split(
        schema, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=0.5, progress=False
    )
    assert (repaired.skipped, repaired.examples) == (len(lost), ROWS)
    assert repaired.report()[0] == f"Left out {len(lost)} of {ROWS} examples:"
    assert words in repaired.report()[1]
    assert items_of(data.read_records(repaired.schema, batch_size=8)) == [i for i in range(ROWS) if i not in lost]


def test_a_damaged_gzip_stream(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "example", "GZIP"))
    file = second_file(schema)
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2])
    message = error_of(schema)
    assert str(file) in message
    assert "gzip" in message
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.5, cache_directory=tmp_path / "cache"
    )
    found = items_of(dataset)
    assert found == [*range(len(found))]
    assert 20 <= len(found) < ROWS


def test_a_file_with_other_rows_than_the_schema_says(tmp_path: Path) -> None:
    """Cut at the end of a record, and replaced by a longer file: only counting shows it."""
    schema = without_sizes(write(tmp_path / "set", "example"))
    file = damaged(schema, cut(15, 0))
    found = data.diagnose(schema, split="train")
    assert str(found) == (
        f"{file}: the schema says 20 examples, so the file may be from another run of the conversion. Received: 15."
    )
    repaired = repair_split(
        schema, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=0.5, progress=False
    )
    assert repaired.skipped == 5
    shutil.copy(file.with_name("train-00000-of-00002.tfrecord"), file)
    with open(file, "ab") as output:
        output.write(file.read_bytes())
    assert "Received: 40" in str(data.diagnose(schema, split="train"))


# Values


WRONG_VALUES = {
    1: ("click", 2.0, "a binary label must be 0 or 1. Received: 2.0."),
    2: ("click", np.inf, "a binary label must be 0 or 1. Received: inf."),
    4: ("price", np.inf, "a number must be finite. Received: inf."),
    6: ("content", [1.0, -np.inf], "a vector must be finite, or missing as a whole. Received: [1.0, -inf]."),
    7: ("content", [1.0, np.nan], "a vector must be finite, or missing as a whole. Received: [1.0, nan]."),
    8: ("bits", [1, 2], "bits must be 0 or 1, or missing as a whole. Received: [1, 2]."),
    11: ("bits", [1, -1], "bits must be 0 or 1, or missing as a whole. Received: [1, -1]."),
    13: ("tag_weights", np.nan, "the weight of an id must be finite. Received: [nan]."),
}
"""Row of the second file -> column, forbidden value, what is said of it. Only the last block has none."""


def rewrite(schema: data.Schema, wrong: dict[int, tuple[str, Any, str]]) -> Path:
    """Writes the second file with some values changed, past the checks of the writer."""
    file = second_file(schema)
    columns = take_rows(columns_of(ROWS), np.arange(20, ROWS))
    for row, (name, value, _) in wrong.items():
        column = columns[name]
        if isinstance(column, data.Ragged):
            column.values[column.lengths[:row].sum()] = value
        else:
            column[row] = value
    if schema.layout == "example":
        records = data.encode_examples(columns, schema_columns=schema.columns)
    else:
        packing = Packing(schema.columns)
        blocks = [np.arange(start, start + BLOCK_ROWS) for start in range(0, 20, BLOCK_ROWS)]
        records = [encode_block(take_rows(columns, block), packing=packing) for block in blocks]
    write_records_to(file, records)
    return file


def write_records_to(file: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)


@pytest.mark.parametrize("layout", ["example", "block"])
def test_forbidden_values_are_named_and_read_around(tmp_path: Path, layout: str) -> None:
    schema = without_sizes(write(tmp_path / "set", layout))
    file = rewrite(schema, WRONG_VALUES)
    expected = [
        f"{file}, record {row if layout == 'example' else f'{row // BLOCK_ROWS}, row {row % BLOCK_ROWS}'}, "
        f"feature {column!r}: {words}"
        for row, (column, _, words) in WRONG_VALUES.items()
    ]
    assert sorted(str(bad) for bad in data.verify(schema)) == sorted(expected)
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.2, cache_directory=tmp_path / "cache"
    )
    batches = list(dataset.as_numpy_iterator())
    kept = [i for i in range(ROWS) if i - 20 not in WRONG_VALUES]
    for name, values in columns_of(ROWS).items():
        if not isinstance(values, data.Ragged):
            found = np.concatenate([batch[name] for batch in batches])
            np.testing.assert_array_equal(found, values[kept], err_msg=name)


@pytest.mark.parametrize("layout", ["example", "block"])
def test_every_forbidden_value_stops_the_pipeline(layout: Any) -> None:
    """The check in the graph, value by value, without files."""
    schema = dataclasses.replace(SCHEMA, layout=layout)
    rules = value_rules(schema)
    check = batch_check(rules, explicit_nan=layout == "example")
    clean = {name: c for name, c in columns_of(20).items() if name != "tags"}

    def batch_of(change: tuple[str, Any, str] | None) -> dict[str, tf.Tensor]:
        batch: dict[str, Any] = {name: np.array(values) for name, values in clean.items() if name != "tag_weights"}
        batch["tag_weights"] = np.zeros((20, 3), np.float32)
        if layout == "example":
            for name in ("price", "content"):
                batch[name] = np.where(np.isnan(batch[name]), ABSENT, batch[name])
        if change is not None:
            batch[change[0]][5] = change[1]
        return {name: tf.constant(values) for name, values in batch.items()}

    check(batch_of(None))
    for change in WRONG_VALUES.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match="a value that its column must not hold"):
            check(batch_of(change))
    explicit = ("price", np.nan, "")
    if layout == "example":
        with pytest.raises(tf.errors.InvalidArgumentError):
            check(batch_of(explicit))
    else:
        check(batch_of(explicit))


def test_what_is_missing_is_no_error(tmp_path: Path) -> None:
    for layout in ("example", "block"):
        schema = without_sizes(write(tmp_path / layout, layout))
        rewrite(schema, {3: ("click", np.nan, ""), 5: ("bits", -1, "")})
        assert list(data.verify(schema)) == []
        assert items_of(data.read_records(schema, batch_size=8)) == [*range(ROWS)]


def example_of(**features: list[Any]) -> bytes:
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = {int: feature.int64_list, float: feature.float_list, bytes: feature.bytes_list}[type(values[0])]
        kind.value.extend(values)
    serialized: bytes = example.SerializeToString()
    return serialized


MISFITS = {
    3: (example_of(item=[1], price=[float("nan")]), ", feature 'price': a number must be finite. Received: nan."),
    4: (example_of(content=[float("nan")] * 2), ", feature 'content': a vector must be finite"),
    5: (example_of(item=[1.0]), ", feature 'item': the schema says int64. Received: float_list of 1 values."),
    7: (example_of(item=[1, 2]), ", feature 'item': the schema says 1 value. Received: 2."),
    8: (example_of(bits=[1]), ", feature 'bits': the schema says 2 values. Received: 1."),
    10: (example_of(tags=[1]), ", feature 'tags': the schema says bytes. Received: int64_list of 1 values."),
    11: (example_of(tags=[b"a"]), ", feature 'tag_weights': columns that belong together must have equally many"),
    19: (b"\xff\xff\xff\xff", ": this is not a tf.train.Example."),
}


def test_examples_that_do_not_fit_the_schema(tmp_path: Path) -> None:
    """A standard record comes from any program. An explicit NaN is an error there: what is missing is absent."""
    schema = without_sizes(write(tmp_path / "set", "example"))
    file = second_file(schema)
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    for row, (record, _) in MISFITS.items():
        records[row] = record
    write_records_to(file, records)
    found = [str(bad) for bad in data.verify(schema)]
    assert len(found) == len(MISFITS)
    for line, (row, (_, words)) in zip(found, MISFITS.items(), strict=True):
        assert line.startswith(f"{file}, record {row}{words}")
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.2, cache_directory=tmp_path / "cache"
    )
    assert items_of(dataset) == [i for i in range(ROWS) if i - 20 not in MISFITS]


@pytest.mark.parametrize("row", MISFITS)
def test_every_misfit_stops_the_pipeline(row: int) -> None:
    """Otherwise it would be read as something else without a word."""
    parse, check = EXAMPLE_PIPELINE
    with pytest.raises(data.INPUT_ERRORS):
        check(parse(tf.constant([example_of(item=[1]), MISFITS[row][0]])))


EXAMPLE_PIPELINE = (
    data.example_parser(SCHEMA.columns, aligned=aligned_columns(SCHEMA)),
    batch_check(value_rules(SCHEMA), explicit_nan=True),
)


def test_a_label_that_says_nan_was_not_observed(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "example"))
    with tf.io.TFRecordWriter(str(second_file(schema))) as writer:
        for _ in range(20):
            writer.write(example_of(item=[1], click=[float("nan")]))
    assert list(data.verify(schema)) == []


# Explaining


def test_an_error_that_is_not_the_records_fault(tmp_path: Path) -> None:
    schema = write(tmp_path / "set", "block")
    error = data.explain(tf.errors.InternalError(None, None, "boom\nmore"), schema=schema, split="train")
    assert isinstance(error, data.BadDataError)
    assert str(error).endswith("no bad record was found in it: boom")
    assert str(tmp_path / "set") in str(error)


def test_errors_inside_fit_can_be_explained(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "block"))
    file = rewrite(schema, {12: ("click", 7.0, "")})
    inputs = keras.Input([], name="price")
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Reshape([1])(inputs)))
    model.compile("sgd", "mse")
    dataset = (
        data.read_records(schema, batch_size=8).map(data.split_batch(schema)).map(lambda x, y, w: (x["price"], y, w))
    )
    with pytest.raises(data.INPUT_ERRORS) as error:
        model.fit(dataset, verbose=0)
    assert str(file) in str(data.explain(error.value, schema=schema, split="train"))


# Reading around


def test_too_much_is_bad(tmp_path: Path) -> None:
    schema = without_sizes(write(tmp_path / "set", "block"))
    file = damaged(schema, flip(1, 30))
    # One block of 5 rows in 40 is 12.5 percent.
    with pytest.raises(data.BadDataError) as error:
        repair_split(schema, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=0.12, progress=False)
    assert str(error.value) == (
        "5 of 40 examples of split 'train' are bad, more than max_bad_fraction=0.12 allows. "
        f"The first: {file}, record 1: damaged data: its checksum differs."
    )
    repair_split(schema, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=0.125, progress=False)
    with pytest.raises(ValueError, match=r"max_bad_fraction is a share from 0 to 1. Received: 2"):
        repair_split(schema, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=2)


def test_what_was_looked_through_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = without_sizes(write(tmp_path / "set", "block"))
    file = damaged(schema, flip(1, 30))
    looked: list[str] = []

    def spy(look: Any, shards: Any) -> Any:
        shards = list(shards)
        looked.extend(shard.file for shard in shards)
        return bad_shards(look, shards)

    monkeypatch.setattr("fullrank.data.repair.bad_shards", spy)

    def repair(of: data.Schema = schema) -> data.Repaired:
        looked.clear()
        return repair_split(of, split="train", cache_directory=tmp_path / "cache", max_bad_fraction=1, progress=False)

    first = repair()
    assert len(looked) == FILES
    assert repair() == first, "what was left out is reported again"
    assert looked == []
    copy = Path(first.schema.split("train").shards[1].file)
    assert copy.parent == tmp_path / "cache"
    copy.unlink()
    assert repair() == first
    assert looked == [file.name], "a copy that is gone is made again"
    os.utime(file, (1, 1))
    repair()
    assert looked == [file.name], "a file that was touched is looked through again"
    repair(dataclasses.replace(schema, labels=(data.Label(name="click", type="value"),)))
    assert len(looked) == FILES, "and so is everything when the schema asks for something else"
    (tmp_path / "cache" / "verified.json").write_text("[]")
    repair()
    assert len(looked) == FILES
    assert not [path for path in (tmp_path / "cache").iterdir() if "writing" in path.name]


def test_a_file_that_is_gone_can_be_read_around(tmp_path: Path) -> None:
    schema = write(tmp_path / "set", "block")
    second_file(schema).unlink()
    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=0.5, cache_directory=tmp_path / "cache"
    )
    assert items_of(dataset) == [*range(20)]


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    schema = write(tmp_path / "set", "block")
    for shard in schema.split("train").shards:
        (tmp_path / "set" / shard.file).write_bytes(b"garbage")
    with pytest.raises(data.BadDataError, match="split 'train' has no examples"):
        data.read_records(
            schema, batch_size=8, on_bad_record="skip", max_bad_fraction=1, cache_directory=tmp_path / "cache"
        )


# Any damage


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes, bytes], bytes]:
    """A function of (content of the file, content of a file of another data set) that gives what lies there instead."""
    where = draw(st.floats(0, 1, exclude_max=True))
    length = draw(st.integers(1, 200))
    garbage = draw(st.binary(max_size=50))
    kind = draw(
        st.sampled_from(["truncate", "flip", "zero", "empty", "garbage", "insert", "remove", "append", "other"])
    )

    def mutate(content: bytes, other: bytes) -> bytes:
        at = int(where * len(content))
        return {
            "truncate": content[:at],
            "flip": content[:at] + bytes([content[at] ^ (1 << length % 8)]) + content[at + 1 :],
            "zero": content[:at] + bytes(min(length, len(content) - at)) + content[at + length :],
            "empty": b"",
            "garbage": garbage,
            "insert": content[:at] + garbage + content[at:],
            "remove": content[:at] + content[at + length :],
            "append": content + garbage,
            "other": other,
        }[kind]

    return mutate


@pytest.fixture(scope="module", params=[("example", ""), ("block", ""), ("block", "GZIP")], ids="-".join)
def pristine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[data.Schema, bytes, bytes]:
    """A data set, its second file, and a file of a data set with other columns."""
    layout, compression = request.param
    directory = tmp_path_factory.mktemp("pristine")
    schema = write(directory / "set", layout, compression)
    other = data.write_records(
        directory / "other",
        schema=data.Schema(
            name="other",
            features=(data.Numeric(name="price"), data.Numeric(name="height")),
            labels=(data.Label(name="sold"),),
            layout=layout,
            compression=compression,
        ),
        splits={"train": {name: np.ones(4, np.float32) for name in ("price", "height", "sold")}},
    )
    other_file = directory / "other" / other.split("train").shards[0].file
    return schema, second_file(schema).read_bytes(), other_file.read_bytes()


@settings(deadline=None, max_examples=5)
@given(mutate=mutations(), sized=st.booleans())
def test_any_damage_is_named_and_read_around(
    pristine: tuple[data.Schema, bytes, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    mutate: Callable[[bytes, bytes], bytes],
    sized: bool,
) -> None:
    schema, content, other = pristine
    directory = tmp_path_factory.mktemp("damaged") / "set"
    shutil.copytree(schema.directory or "", directory)
    schema = dataclasses.replace(schema if sized else without_sizes(schema), directory=directory)
    file = second_file(schema)
    file.write_bytes(mutate(content, other))
    found = read_or_explained(schema)
    if isinstance(found, str):
        assert str(file) in found
        assert "\n" not in found
    else:
        # Nothing was noticed: all rows are there, or whole records are gone and only counting shows it.
        assert found[:20] == [*range(20)]
        assert found == [*range(ROWS)] or data.diagnose(schema, split="train") is not None

    dataset = data.read_records(
        schema, batch_size=8, on_bad_record="skip", max_bad_fraction=1.0, cache_directory=directory.parent / "cache"
    )
    clean = columns_of(ROWS)
    rows = 0
    for batch in dataset.as_numpy_iterator():
        for row, item in enumerate(batch["item"]):
            rows += 1
            if item == -1 and file.read_bytes() == other:
                continue  # a file of another data set may share a column, and lack the others: rows of missing values
            assert batch["price"][row] == clean["price"][item] or item % 5 == 0
            assert batch["click"][row] == item % 2
            assert batch["tags"][row].tolist() == clean["tags"].to_lists()[item] + [b""] * (3 - item % 4)
    assert rows >= 20


# The frames themselves


@given(records=st.lists(st.binary(max_size=40), max_size=5), compression=st.sampled_from(["", "GZIP"]))
def test_frames_are_those_of_tensorflow(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], compression: str
) -> None:
    file = tmp_path_factory.mktemp("frames") / "file"
    with tf.io.TFRecordWriter(str(file), options=compression or None) as writer:
        for record in records:
            writer.write(record)
    assert [(f.record, f.data) for f in read_frames(file, compression=compression)] == list(enumerate(records))


def test_a_huge_length_takes_no_memory(tmp_path: Path) -> None:
    """A length of 2^62 with a right checksum, as only a program could write it."""

    def masked(content: bytes) -> bytes:
        checksum = google_crc32c.value(content)
        return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", 2**62)
    (tmp_path / "file").write_bytes(length + masked(length) + b"abc")
    frames = list(read_frames(tmp_path / "file", compression=""))
    assert [(frame.record, frame.data) for frame in frames] == [(0, None)]
    assert "2 GiB or more" in frames[0].reason
