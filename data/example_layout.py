"""The standard record layout: one `tf.train.Example` a row, which every TensorFlow tool reads and writes.

A feature of the example is a column of the same name; what is absent is missing. Features that the schema does not name
are ignored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.block_layout import HEADER
from fullrank.data.columns import Column
from fullrank.data.dense import padded_last
from fullrank.data.ragged import Columns, Ragged
from fullrank.data.value_rules import ABSENT

# Tags of protocol buffer fields of wire type 2: (field number << 3) | 2.
_FIRST: Final = b"\x0a"
_SECOND: Final = b"\x12"
_LIST_TAG: Final = {"bytes": b"\x0a", "float32": b"\x12", "int64": b"\x1a"}
_LIST_NAME: Final = {"bytes": "bytes_list", "float32": "float_list", "int64": "int64_list"}


class ExampleError(ValueError):
    """A record of another form than its schema."""

    def __init__(self, reason: str, *, feature: str | None = None, received: str = "") -> None:
        """Keeps what is wrong apart from the value found."""
        super().__init__(reason)
        self.reason = reason
        self.feature = feature
        self.received = received


def encode_examples(columns: Columns, *, schema_columns: Iterable[Column]) -> list[bytes]:
    """Serializes rows as `tf.train.Example`.

    The bytes are put together column by column, several times faster than by filling a protocol buffer a row.

    Args:
      columns: A column batch of n rows that has every column of the schema.
      schema_columns: Columns to write, in this order.

    Returns:
      n serialized examples; a missing value is left out.
    """
    entries = [_entries(column, columns[column.name]) for column in schema_columns]
    bodies = (b"".join(row) for row in zip(*entries, strict=True))
    return [_FIRST + _varint(len(body)) + body for body in bodies]


def example_parser(
    columns: Iterable[Column], *, aligned: Iterable[tuple[str, ...]] = ()
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function that parses a batch.

    Args:
      columns: Columns to read.
      aligned: Groups of `many` columns that must have equally many values in a row; anything else stops the pipeline.

    Returns:
      A function of serialized examples `[B]` that gives every column as a dense tensor, as in `Column`. An absent float
      is `value_rules.ABSENT`, which is a NaN.
    """
    wanted = tuple(columns)
    groups = tuple(aligned)
    spec = {column.name: _parse_spec(column) for column in wanted}

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, spec)
        for first, *others in groups:
            for other in others:
                equal = tf.reduce_all(parsed[first].row_splits == parsed[other].row_splits)
                tf.debugging.Assert(equal, ["fullrank: different numbers of values in", first, "and", other])
        return {column.name: _dense(column, parsed[column.name]) for column in wanted}

    return parse


def decode_examples(
    records: Iterable[bytes], *, schema_columns: Iterable[Column]
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """The inverse of `encode_examples`, for looking into records outside a graph; `many` columns are whole.

    As in `example_parser`, an absent float is `value_rules.ABSENT`.

    Args:
      records: n serialized examples.
      schema_columns: Columns to read.

    Raises:
      ExampleError: If a record is no example, or a feature is of another type or length.
    """
    wanted = tuple(schema_columns)
    rows: dict[str, list[list[Any]]] = {column.name: [] for column in wanted}
    for record in records:
        feature = _features_of(record)
        for column in wanted:
            rows[column.name].append(_row_values(column, feature[column.name]) if column.name in feature else [])
    return {column.name: _column_of(column, rows[column.name]) for column in wanted}


def check_has_columns(record: bytes, *, schema_columns: Iterable[Column]) -> None:
    """Checks that a record can be one of a schema.

    Since absent features are missing values, a record of another data set would otherwise be read as an empty row.

    Raises:
      ExampleError: If it is no example, has none of the columns or has one of another type or length.
    """
    feature = _features_of(record)
    wanted = tuple(schema_columns)
    if HEADER in feature:
        raise ExampleError("this is a block of rows, not a tf.train.Example a row: is the layout of the schema right?")
    if not any(column.name in feature for column in wanted):
        raise ExampleError("this record has no column of the schema", received=", ".join(sorted(feature)) or "nothing")
    decode_examples([record], schema_columns=wanted)


def _features_of(record: bytes) -> Any:
    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise ExampleError("this is not a tf.train.Example") from None


def _row_values(column: Column, feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    wanted = _LIST_NAME[column.dtype]
    values = list(getattr(feature, kind).value)
    if kind != wanted:
        received = f"{kind} of {len(values)} values"
        raise ExampleError(f"the schema says {column.dtype}", feature=column.name, received=received)
    if column.form != "many" and len(values) != column.length:
        reason = f"the schema says {column.length} value{'s' if column.length > 1 else ''}"
        raise ExampleError(reason, feature=column.name, received=str(len(values)))
    return values


def _column_of(column: Column, rows: list[list[Any]]) -> npt.NDArray[Any] | Ragged:
    if column.form == "many":
        return Ragged.from_lists(rows, dtype=column.numpy_dtype)
    values = np.full((len(rows), column.length), _absent(column), column.numpy_dtype)
    for number, row in enumerate(rows):
        if row:
            values[number] = row
    return values[:, 0] if column.form == "one" else values


def _parse_spec(column: Column) -> Any:
    dtype = tf.string if column.dtype == "bytes" else tf.dtypes.as_dtype(column.dtype)
    if column.form == "many":
        return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int32)
    shape = [column.length] if column.form == "fixed" else []
    default = np.full(shape, _absent(column), column.numpy_dtype)
    return tf.io.FixedLenFeature(shape, dtype, default_value=tf.constant(default))


def _absent(column: Column) -> Any:
    """What an absent feature is read as."""
    return ABSENT if column.dtype == "float32" and column.pad is None else column.missing


def _dense(column: Column, parsed: Any) -> tf.Tensor:
    if column.form != "many":
        return parsed
    return padded_last(parsed.values, parsed.row_splits, length=column.length, missing=column.missing)


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
    packed = b"" if column.dtype == "bytes" else _FIRST + _varint(size)
    feature = _LIST_TAG[column.dtype] + _varint(len(packed) + size) + packed
    value = _SECOND + _varint(len(feature) + size) + feature
    name = column.name.encode()
    key = _FIRST + _varint(len(name)) + name
    return _FIRST + _varint(len(key) + len(value) + size) + key + value


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
        parts = [_FIRST + _varint(len(value)) + value for value in values.tolist()]
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


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
