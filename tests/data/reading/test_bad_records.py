"""Damage to records: noticed before the first step where that is cheap, named always, read around when asked."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from damaged_records import (
    BLOCK_ROWS,
    FILES,
    ROWS,
    SCHEMA,
    columns_of,
    cut,
    damaged,
    error_of,
    flip,
    items_of,
    rewrite,
    second_file,
    without_sizes,
    write,
)
from fullrank import data
from fullrank.data.reading.bad_records import bad_shards
from fullrank.data.reading.repair import repair_split
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.packing import Packing

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

    monkeypatch.setattr("fullrank.data.reading.repair.bad_shards", spy)

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
