"""Writes rows as `tf.train.Example`, one a row, without TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.data.columns import Column
from fullrank.data.ragged import Columns, Ragged
from fullrank.data.wire_format import FIRST, LIST_TAG, SECOND, field, varint


def encode_examples(columns: Columns, *, schema_columns: Iterable[Column]) -> list[bytes]:
    """Serializes rows as `tf.train.Example`.

    The bytes are put together column by column, several times faster than by filling a protocol buffer a row.

    Args:
      columns: A column batch of n rows that has every column of the schema.
      schema_columns: Columns to write, in this order.

    Returns:
      n serialized examples; a missing value is left out. If all of a row are, its last column is an empty feature,
      which tells it from a record of another data set.
    """
    written = tuple(schema_columns)
    entries = [_entries(column, columns[column.name]) for column in written]
    nothing = field(FIRST, field(FIRST, written[-1].name.encode()) + field(SECOND, b""))
    bodies = (b"".join(row) or nothing for row in zip(*entries, strict=True))
    return [FIRST + varint(len(body)) + body for body in bodies]


def _entries(column: Column, data: npt.NDArray[Any] | Ragged) -> list[bytes]:
    """One map entry a row, or nothing where the value is missing."""
    headers: dict[int, bytes] = {}
    entries = []
    for content in _contents(column, data):
        header = headers.get(len(content))
        if header is None:
            header = headers[len(content)] = _entry_header(column, len(content))
        entries.append(header + content)
    return entries


def _entry_header(column: Column, size: int) -> bytes:
    """What stands before the values of a row that take `size` bytes; nothing if there are none."""
    if size == 0:
        return b""
    packed = b"" if column.dtype == "bytes" else FIRST + varint(size)
    feature = LIST_TAG[column.dtype] + varint(len(packed) + size) + packed
    value = SECOND + varint(len(feature) + size) + feature
    name = column.name.encode()
    key = FIRST + varint(len(name)) + name
    return FIRST + varint(len(key) + len(value) + size) + key + value


def _contents(column: Column, data: npt.NDArray[Any] | Ragged) -> list[bytes]:
    """The values of each row as they stand in their list; empty where the row is missing."""
    if isinstance(data, Ragged):
        values, ends = data.values, np.cumsum(data.lengths, dtype=np.int64)
    else:
        width = 1 if data.ndim == 1 else data.shape[1]
        values, ends = data.reshape(-1), np.arange(1, len(data) + 1, dtype=np.int64) * width
    offsets, encoded = _encoded(values, column)
    cuts = [0, *offsets[ends].tolist()]
    contents = [encoded[start:end] for start, end in itertools.pairwise(cuts)]
    if not isinstance(data, Ragged):
        for row in np.flatnonzero(is_missing(data).reshape(len(data), -1).all(axis=1)).tolist():
            contents[row] = b""
    return contents


def _encoded(values: npt.NDArray[Any], column: Column) -> tuple[npt.NDArray[np.int64], bytes]:
    """All values one after the other, and where each begins: `[N + 1]`."""
    if column.dtype == "float32":
        return np.arange(len(values) + 1, dtype=np.int64) * 4, values.astype("<f4").tobytes()
    if column.dtype == "int64":
        sizes, encoded = _varints(values.astype(np.int64))
    else:
        parts = [FIRST + varint(len(value)) + value for value in values.tolist()]
        sizes, encoded = np.fromiter(map(len, parts), np.int64, len(parts)), b"".join(parts)
    return np.concatenate(([0], np.cumsum(sizes))), encoded


def _varints(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], bytes]:
    """The variable-length encoding of 64-bit numbers: bytes of each, and all bytes."""
    unsigned = values.view(np.uint64)
    longest = max(1, -(-int(unsigned.max(initial=0)).bit_length() // 7))
    shifted = unsigned[:, None] >> np.arange(0, 7 * longest, 7, dtype=np.uint64)
    sizes = np.maximum(1, (shifted != 0).sum(axis=1))
    groups = (shifted & np.uint64(127)).astype(np.uint8)
    position = np.arange(longest)
    groups[position < sizes[:, None] - 1] |= np.uint8(128)
    return sizes, groups[position < sizes[:, None]].tobytes()


def is_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where an array holds its dtype's missing value."""
    missing: npt.NDArray[np.bool_]
    missing = np.isnan(values) if values.dtype.kind == "f" else values == (b"" if values.dtype == object else -1)
    return missing
