"""The fast record layout: a block of rows a record, column by column.

A block is a `tf.train.Example` with few, large features. All `one` and `fixed` columns of a dtype lie in one row-major
matrix, so that a whole window of blocks is decoded, permuted and sliced into batches by one operation a dtype instead
of one a column. A `many` column is its values and its lengths. Numbers are raw little-endian bytes.

A header lists the columns. It tells a block from any other record, lets a reader find the columns it wants among
those that were written, and makes blocks of another data set an error instead of wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.columns import Column
from fullrank.data.dense import padded_last
from fullrank.data.encode_block import BLOCK_ROWS, HEADER, MATRICES, ROWS, BlockError, Packing, encode_block
from fullrank.data.ragged import Ragged


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
    rows = sum(features[ROWS].int64_list.value)
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
    stored = np.dtype(MATRICES.get(dtype, "<i4"))
    if len(raw) % stored.itemsize:
        raise BlockError("damaged block", received=f"{len(raw)} bytes for values of type {dtype}")
    return np.frombuffer(raw, stored).astype(stored.newbyteorder("="))


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
    spec: dict[str, Any] = {HEADER: tf.io.FixedLenFeature([], tf.string), ROWS: tf.io.FixedLenFeature([], tf.int64)}
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
            rows = tf.reduce_sum(parsed[ROWS])
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


__all__ = [
    "BLOCK_ROWS",
    "HEADER",
    "BlockError",
    "Packed",
    "Packing",
    "block_parser",
    "decode_block",
    "encode_block",
    "unpacker",
]
