"""A small data set, what it is read as, and ways to damage its second file."""

from __future__ import annotations

import dataclasses
import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank import data
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.packing import Packing
from fullrank.data.schema.ragged import take_rows

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
