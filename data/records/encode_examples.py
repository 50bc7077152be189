"""Writes rows as `tf.train.Example`, one per row, without TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.records.wire_format import (
    FIRST,
    LIST_TAG,
    SECOND,
    Bytes,
    byte_strings,
    field,
    joined,
    list_items,
    varint,
    varints,
)
from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Columns, Ragged


def encode_examples(columns: Columns, *, schema_columns: Iterable[Column]) -> list[bytes]:
    """Serializes rows as `tf.train.Example`.

    The bytes are assembled column by column, several times faster than by filling one protocol buffer per row.

    Args:
      columns: A column batch of n rows that has every column of the schema.
      schema_columns: Columns to write, in this order.

    Returns:
      n serialized examples; a missing value is left out. If a row has no value at all, its last column is an empty
      feature, which distinguishes it from a record of another data set.
    """
    written = tuple(schema_columns)
    nothing = field(FIRST, field(FIRST, written[-1].name.encode()) + field(SECOND, b""))
    parts = [part for column in written for part in _entries(column, columns[column.name])]
    offsets, content = joined(*parts)
    bodies = [content[start:end] or nothing for start, end in itertools.pairwise(offsets.tolist())]
    return [FIRST + varint(len(body)) + body for body in bodies]


def _entries(column: Column, data: npt.NDArray[Any] | Ragged) -> tuple[pa.Array, pa.Array]:
    """The bytes before the values of each row, and the values as their list holds them; empty where missing."""
    if isinstance(data, Ragged):
        values, ends = data.values, np.cumsum(data.lengths, dtype=np.int64)
        absent = None
    else:
        width = 1 if column.form == "one" else column.length
        values, ends = data.reshape(-1), np.arange(1, len(data) + 1, dtype=np.int64) * width
        absent = is_missing(data).reshape(len(data), -1).all(axis=1)
    offsets, encoded = _encoded(values, column)
    contents = byte_strings(offsets[np.concatenate(([0], ends))], encoded)
    if absent is not None:
        contents = pc.if_else(absent, pa.scalar(b"", pa.large_binary()), contents)
    sizes = pc.binary_length(contents).dictionary_encode()
    headers = [_entry_header(column, size) for size in sizes.dictionary.to_pylist()]
    return pa.array(headers, pa.large_binary()).take(sizes.indices), contents


def _entry_header(column: Column, size: int) -> bytes:
    """The bytes before the values of a row that take `size` bytes; none if there are no values."""
    if size == 0:
        return b""
    packed = b"" if column.dtype == "bytes" else FIRST + varint(size)
    feature = LIST_TAG[column.dtype] + varint(len(packed) + size) + packed
    value = SECOND + varint(len(feature) + size) + feature
    name = column.name.encode()
    key = FIRST + varint(len(name)) + name
    return FIRST + varint(len(key) + len(value) + size) + key + value


def _encoded(values: npt.NDArray[Any], column: Column) -> tuple[npt.NDArray[np.int64], Bytes]:
    """All values concatenated, and where each begins: `[N + 1]`."""
    if column.dtype == "bytes":
        return list_items(values)
    if column.dtype == "float32":
        return np.arange(len(values) + 1, dtype=np.int64) * 4, values.astype("<f4").tobytes()
    return varints(values.astype(np.int64))


def is_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where an array holds its dtype's missing value."""
    missing: npt.NDArray[np.bool_]
    missing = np.isnan(values) if values.dtype.kind == "f" else values == (b"" if values.dtype == object else -1)
    return missing
