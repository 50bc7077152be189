"""Lengths of records are looked at before TensorFlow makes room for them."""

from __future__ import annotations

import dataclasses
import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data
from fullrank.data.reading.pipeline import checked_file
from fullrank.data.records.frames import fault_in_lengths, framed, read_frames

RECORDS = [b"abc", b"", b"x" * 70_000]
CUT_OFF = "the file ends within this record: it is cut off"
TOO_LONG = "a length of 2 GiB or more"


def claiming(length: int) -> bytes:
    """A frame whose length is a lie with a right checksum, as only a program could write it."""
    header = struct.pack("<Q", length)
    # The checksum that `framed` writes behind eight bytes of content is that of these bytes.
    return header + framed([header])[-4:] + b"abcd"


def written(path: Path, content: bytes, compression: str) -> Path:
    path.write_bytes(gzip.compress(content) if compression else content)
    return path


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize(
    ("content", "record", "words"),
    [
        (framed(RECORDS), None, ""),
        (b"", None, ""),
        (framed(RECORDS)[:-1], 2, CUT_OFF),
        (framed(RECORDS)[:-70_000], 2, CUT_OFF),
        (framed(RECORDS) + b"\x00" * 5, 3, CUT_OFF),
        (framed(RECORDS) + claiming(1), 3, CUT_OFF),
        (framed(RECORDS) + claiming(10_000_000), 3, CUT_OFF),
        (framed(RECORDS) + claiming(2**31), 3, TOO_LONG),
        (framed(RECORDS) + claiming(2**40), 3, TOO_LONG),
        (claiming(2**64 - 1), 0, TOO_LONG),
        # A length with a wrong checksum is left to TensorFlow, which does not trust it either.
        (framed(RECORDS) + b"\xff" * 16, None, ""),
    ],
)
def test_a_length_beyond_the_file_is_found(
    tmp_path: Path, compression: str, content: bytes, record: int | None, words: str
) -> None:
    file = written(tmp_path / "file", content, compression)
    fault = fault_in_lengths(file, compression=compression)
    if record is None:
        assert fault is None
        return
    assert fault is not None
    assert (fault.record, fault.data) == (record, None)
    assert fault.reason.startswith(words)
    # Whoever reads the frames says the same.
    *_, last = read_frames(file, compression=compression)
    if content != framed(RECORDS) + claiming(1):
        assert (last.record, last.reason) == (fault.record, fault.reason)
    with pytest.raises(data.BadDataError, match=f"record {record}: "):
        checked_file(tf.constant(str(file)), compression=compression)


def test_a_cut_gzip_stream(tmp_path: Path) -> None:
    content = gzip.compress(framed([np.random.default_rng(0).bytes(1000)] * 3))
    (tmp_path / "file").write_bytes(content[: len(content) // 2])
    fault = fault_in_lengths(tmp_path / "file", compression="GZIP")
    assert fault is not None
    assert fault.reason.startswith("damaged gzip data")


@pytest.mark.parametrize(("layout", "seed"), [("example", None), ("block", 1)])
def test_the_reader_survives_and_says_where(tmp_path: Path, layout: Any, seed: int | None) -> None:
    """In order and shuffled, which open files in two ways."""
    schema = data.write_records(
        tmp_path,
        schema=data.Schema(
            name="small", features=(data.Numeric(name="x"),), labels=(data.Label(name="y"),), layout=layout
        ),
        splits={"train": {"x": np.arange(6, dtype=np.float32), "y": np.zeros(6, np.float32)}},
        block_rows=2,
    )
    shard = schema.split("train").shards[0]
    with open(tmp_path / shard.file, "ab") as file:
        file.write(claiming(2**40))
    shards = (dataclasses.replace(shard, size=None, examples=7),)
    schema = dataclasses.replace(schema, splits=(data.Split(name="train", shards=shards),))
    with pytest.raises(data.INPUT_ERRORS) as error:
        list(data.read_records(schema, batch_size=4, seed=seed))
    number = 6 if layout == "example" else 3
    assert f"{shard.file}, record {number}: {TOO_LONG}" in str(data.explain(error.value, schema=schema, split="train"))
    dataset = data.read_records(
        schema, batch_size=4, seed=seed, on_bad_record="skip", max_bad_fraction=0.2, cache_directory=tmp_path / "cache"
    )
    assert sorted(x for batch in dataset for x in batch["x"].numpy().tolist()) == [*range(6)]
