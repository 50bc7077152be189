"""Any damage to a file is named and read around; frames are those of TensorFlow."""

from __future__ import annotations

import dataclasses
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from damaged_records import ROWS, columns_of, read_or_explained, second_file, without_sizes, write
from fullrank import data
from fullrank.data.records.frames import read_frames


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
