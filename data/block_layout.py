"""The fast record layout: a block of rows a record, column by column.

A block is a `tf.train.Example` with few, large features. All `one` and `fixed` columns of a dtype lie in one row-major
matrix, so that a whole window of blocks is decoded, permuted and sliced into batches by one operation a dtype instead
of one a column. A `many` column is its values and its lengths. Numbers are raw little-endian bytes.

A header lists the columns. It tells a block from any other record, lets a reader find the columns it wants among
those that were written, and makes blocks of another data set an error instead of wrong numbers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.columns import Column
from fullrank.data.dense import padded_last
from fullrank.data.ragged import Columns, Ragged

BLOCK_ROWS: Final = 1000
HEADER: Final = "fullrank.block"
_FORMAT: Final = 1
_ROWS: Final = "rows"
_MATRICES: Final = {"int64": "<i8", "float32": "<f4", "bytes": "O"}


@dataclasses.dataclass(frozen=True)
class Packing:
    """How columns lie in a block.

    Attributes:
      columns: Columns that were written, in order.
    """

    columns: tuple[Column, ...]

    def matrix(self, dtype: str) -> tuple[Column, ...]:
        """The columns side by side in the matrix of a dtype."""
        return tuple(column for column in self.columns if column.dtype == dtype and column.form != "many")

    @property
    def many(self) -> tuple[Column, ...]:
        """The columns of variable length."""
        return tuple(column for column in self.columns if column.form == "many")

    def widths(self) -> dict[str, int]:
        """The width of each matrix that is not empty."""
        widths = {dtype: sum(column.length for column in self.matrix(dtype)) for dtype in _MATRICES}
        return {dtype: width for dtype, width in widths.items() if width}

    def offset(self, name: str) -> int:
        """Where a column begins in its matrix."""
        wanted = next(column for column in self.columns if column.name == name)
        offset = 0
        for column in self.matrix(wanted.dtype):
            if column.name == name:
                break
            offset += column.length
        return offset

    def header(self) -> bytes:
        """The bytes every block of these columns begins with."""
        columns = [
            [column.name, column.dtype, column.form, column.length if column.form == "fixed" else 1]
            for column in self.columns
        ]
        return json.dumps({"format": _FORMAT, "columns": columns}, separators=(",", ":")).encode()

    @classmethod
    def from_header(cls, header: bytes) -> Packing:
        """Reads a header.

        Raises:
          BlockError: If it is none.
        """
        try:
            value = json.loads(header)
            if value["format"] != _FORMAT:
                reason = f"a block of another format; this version of fullrank reads format {_FORMAT}"
                raise BlockError(reason, received=repr(value["format"]))
            columns = [Column(name=n, dtype=d, form=f, length=length) for n, d, f, length in value["columns"]]
        except (TypeError, KeyError, RecursionError, json.JSONDecodeError) as error:
            raise BlockError("damaged block: its header lists no columns") from error
        return cls(tuple(columns))

    def lacks(self, columns: Iterable[Column]) -> tuple[Column, str] | None:
        """The first column wanted that was not written as it is wanted, and what was written instead."""
        written = {column.name: column for column in self.columns}
        for column in columns:
            known = written.get(column.name)
            if known is None:
                return column, f"columns {', '.join(written)}"
            fixed = column.form == "fixed" and column.length != known.length
            if (known.dtype, known.form) != (column.dtype, column.form) or fixed:
                return column, f"{known.form} {known.dtype}" + (f" of length {known.length}" if fixed else "")
        return None


def encode_block(columns: Columns, *, packing: Packing) -> bytes:
    """Serializes rows as one block.

    Args:
      columns: A column batch of n >= 1 rows that has every column of `packing`.
      packing: How they lie in the block.
    """
    features = {HEADER: _bytes_feature([packing.header()])}
    rows = 0
    for column in packing.columns:
        data = columns[column.name]
        rows = data.rows if isinstance(data, Ragged) else len(data)
    features[_ROWS] = tf.train.Feature(int64_list=tf.train.Int64List(value=[rows]))
    for dtype in packing.widths():
        parts = [np.asarray(columns[column.name]).reshape(rows, column.length) for column in packing.matrix(dtype)]
        features[dtype] = _array_feature(np.concatenate(parts, axis=1).reshape(-1), dtype)
    for column in packing.many:
        data = columns[column.name]
        assert isinstance(data, Ragged)  # noqa: S101
        data = data.last(column.length)
        features[f"values:{column.name}"] = _array_feature(data.values, column.dtype)
        features[f"lengths:{column.name}"] = _bytes_feature([data.lengths.astype("<i4").tobytes()])
    example = tf.train.Example(features=tf.train.Features(feature=features))
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


class BlockError(ValueError):
    """A record that is no block, or a damaged one."""

    def __init__(self, reason: str, *, feature: str | None = None, received: str = "") -> None:
        """Keeps what is wrong apart from the value found."""
        super().__init__(reason)
        self.reason = reason
        self.feature = feature
        self.received = received


def decode_block(record: bytes) -> tuple[Packing, dict[str, npt.NDArray[Any] | Ragged]]:
    """The inverse of `encode_block`, for looking into blocks outside a graph.

    Returns:
      How the columns lie in the block, and all of them.

    Raises:
      BlockError: If the record is no block, or its parts do not fit together.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise BlockError("this is not a block of rows, nor a tf.train.Example") from None
    if HEADER not in features:
        raise BlockError("this is not a block of rows but a tf.train.Example: is the layout of the schema right?")
    packing = Packing.from_header(b"".join(features[HEADER].bytes_list.value))
    rows = sum(features[_ROWS].int64_list.value)
    columns: dict[str, npt.NDArray[Any] | Ragged] = {}
    for dtype, width in packing.widths().items():
        matrix = _array_of(features[dtype], dtype)
        if len(matrix) != rows * width or rows < 1:
            raise BlockError(
                f"damaged block: {rows} rows", received=f"{len(matrix)} values for {width} {dtype} columns"
            )
        matrix = matrix.reshape(rows, width)
        offset = 0
        for column in packing.matrix(dtype):
            part = matrix[:, offset : offset + column.length]
            columns[column.name] = part[:, 0] if column.form == "one" else part
            offset += column.length
    for column in packing.many:
        values = _array_of(features[f"values:{column.name}"], column.dtype)
        lengths = _array_of(features[f"lengths:{column.name}"], "int32")
        if len(lengths) != rows or lengths.min(initial=0) < 0 or int(lengths.sum()) != len(values):
            received = f"{len(lengths)} lengths of {len(values)} values"
            raise BlockError(f"damaged block: {rows} rows", feature=column.name, received=received)
        columns[column.name] = Ragged(values, lengths)
    return packing, columns


def _array_of(feature: Any, dtype: str) -> npt.NDArray[Any]:
    values = feature.bytes_list.value
    if dtype == "bytes":
        return np.array(list(values), dtype=object)
    raw = b"".join(values)
    stored = np.dtype(_MATRICES.get(dtype, "<i4"))
    if len(raw) % stored.itemsize:
        raise BlockError("damaged block", received=f"{len(raw)} bytes for values of type {dtype}")
    return np.frombuffer(raw, stored).astype(stored.newbyteorder("="))


def _array_feature(values: npt.NDArray[Any], dtype: str) -> Any:
    if dtype == "bytes":
        return _bytes_feature(values.tolist())
    return _bytes_feature([values.astype(_MATRICES[dtype]).tobytes()])


def _bytes_feature(values: list[bytes]) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


Packed = dict[str, tf.Tensor]
"""Rows of blocks in a graph: matrices by dtype `[W, width]`, and each `many` column as `many:<name>` `[W, L]`."""


def block_parser(packing: Packing, *, columns: Iterable[Column]) -> Callable[[tf.Tensor], Packed]:
    """Makes the function that decodes a window of blocks.

    Args:
      packing: How the blocks were written.
      columns: Columns that are wanted, with the `length` wanted of each `many` column.

    Returns:
      A function of serialized blocks `[K]` that gives all their rows in order, packed.
    """
    wanted = tuple(columns)
    many = tuple(column for column in wanted if column.form == "many")
    widths = packing.widths()
    spec: dict[str, Any] = {HEADER: tf.io.FixedLenFeature([], tf.string), _ROWS: tf.io.FixedLenFeature([], tf.int64)}
    for dtype in widths:
        spec[dtype] = _feature_spec(dtype)
    for column in many:
        spec[f"values:{column.name}"] = _feature_spec(column.dtype)
        spec[f"lengths:{column.name}"] = tf.io.FixedLenFeature([], tf.string)
    header = packing.header()

    def parse(serialized: tf.Tensor) -> Packed:
        parsed = tf.io.parse_example(serialized, spec)
        same = tf.debugging.Assert(
            tf.reduce_all(tf.equal(parsed[HEADER], header)), ["fullrank: blocks of different columns in one split"]
        )
        with tf.control_dependencies([same]):
            rows = tf.reduce_sum(parsed[_ROWS])
        packed = {
            dtype: tf.reshape(_joined(parsed[dtype], dtype), tf.stack([rows, width])) for dtype, width in widths.items()
        }
        for column in many:
            values = _joined(parsed[f"values:{column.name}"], column.dtype)
            lengths = _joined(parsed[f"lengths:{column.name}"], "int32")
            splits = tf.concat([[0], tf.cumsum(lengths)], axis=0)
            packed[f"many:{column.name}"] = padded_last(values, splits, length=column.length, missing=column.missing)
        return packed

    return parse


def unpacker(packing: Packing, *, columns: Iterable[Column]) -> Callable[[Packed], dict[str, tf.Tensor]]:
    """Makes the function that cuts packed rows into columns.

    Args:
      packing: How the blocks were written.
      columns: Columns that are wanted.

    Returns:
      A function of packed rows that gives every column as a dense tensor, as in `Column`.
    """
    wanted = tuple(columns)
    offsets = {column.name: packing.offset(column.name) for column in wanted}

    def unpack(packed: Packed) -> dict[str, tf.Tensor]:
        split = {dtype: tf.unstack(packed[dtype], num=width, axis=1) for dtype, width in packing.widths().items()}
        batch = {}
        for column in wanted:
            offset = offsets[column.name]
            if column.form == "many":
                batch[column.name] = packed[f"many:{column.name}"]
            elif column.form == "one":
                batch[column.name] = split[column.dtype][offset]
            else:
                batch[column.name] = packed[column.dtype][:, offset : offset + column.length]
        return batch

    return unpack


def _feature_spec(dtype: str) -> Any:
    if dtype == "bytes":
        return tf.io.RaggedFeature(tf.string)
    return tf.io.FixedLenFeature([], tf.string)


def _joined(parsed: Any, dtype: str) -> tf.Tensor:
    """The values of all blocks, one after the other."""
    if dtype == "bytes":
        return parsed.values
    return tf.io.decode_raw(tf.strings.reduce_join(parsed), tf.dtypes.as_dtype(dtype))
