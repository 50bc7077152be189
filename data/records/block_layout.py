"""The fast record layout: a block of rows per record, column by column.

A block is a `tf.train.Example` with few, large features. All `one` and `fixed` columns of a dtype lie in one row-major
matrix, so that a whole window of blocks is decoded, permuted and sliced into batches by one operation per dtype instead
of one per column. A `many` column is its values and its lengths. Numbers are raw little-endian bytes.

A header lists the columns. It distinguishes a block from any other record, lets a reader find the columns it wants
among those that were written, and makes blocks of another data set an error instead of wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.records.encode_block import HEADER, MATRICES, ROWS, BlockError, Packing
from fullrank.data.records.example_bytes import checked_examples, is_example
from fullrank.data.records.example_layout import padded_last
from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Ragged

_MOST_ROWS: Final = 1 << 24


def decode_block(record: bytes) -> tuple[Packing, dict[str, npt.NDArray[Any] | Ragged]]:
    """The inverse of `encode_block`, for looking into blocks outside a graph.

    Returns:
      The layout of the columns in the block, and all columns.

    Raises:
      BlockError: If the record is not a block, or its parts do not fit together.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise BlockError("this is not a block of rows, nor a tf.train.Example") from None
    if HEADER not in features:
        raise BlockError("this is not a block of rows but a tf.train.Example: is the layout of the schema right?")
    packing = Packing.from_header(_one_of(features[HEADER].bytes_list.value, HEADER))
    if not is_example(record) or features.keys() != packing.features():
        raise BlockError("damaged block: it is not as it was written")
    rows = int(_one_of(features[ROWS].int64_list.value, ROWS))
    if not 1 <= rows <= _MOST_ROWS:
        raise BlockError("damaged block: an impossible number of rows", received=str(rows))
    columns: dict[str, npt.NDArray[Any] | Ragged] = {}
    for dtype, width in packing.widths().items():
        matrix = _array_of(features[dtype], dtype)
        if len(matrix) != rows * width:
            reason = f"damaged block: {rows} rows of {width} {dtype} columns"
            raise BlockError(reason, received=f"{len(matrix)} values")
        matrix = matrix.reshape(rows, width)
        offset = 0
        for column in packing.matrix(dtype):
            part = matrix[:, offset : offset + column.length]
            columns[column.name] = part[:, 0] if column.form == "one" else part
            offset += column.length
    for column in packing.many:
        values = _array_of(features[f"values:{column.name}"], column.dtype)
        lengths = _array_of(features[f"lengths:{column.name}"], "int32")
        if len(lengths) != rows or lengths.min() < 0 or int(lengths.sum(dtype=np.int64)) != len(values):
            received = f"{len(lengths)} lengths from {lengths.min(initial=0)}, {len(values)} values"
            raise BlockError(f"damaged block: {rows} rows", feature=column.name, received=received)
        columns[column.name] = Ragged(values, lengths)
    return packing, columns


def _array_of(feature: Any, dtype: str) -> npt.NDArray[Any]:
    values = feature.bytes_list.value
    if dtype == "bytes":
        return np.array(list(values), dtype=object)
    raw = _one_of(values, dtype)
    stored = np.dtype(MATRICES.get(dtype, "<i4"))
    if len(raw) % stored.itemsize:
        raise BlockError("damaged block", received=f"{len(raw)} bytes for values of type {dtype}")
    return np.frombuffer(raw, stored).astype(stored.newbyteorder("="))


def _one_of(values: Any, part: str) -> Any:
    if len(values) != 1:
        raise BlockError(f"damaged block: its part {part!r} is not in one piece", received=f"{len(values)} pieces")
    return values[0]


Packed = dict[str, tf.Tensor]
"""Rows of blocks in a graph: matrices by dtype `[W, width]`, and each `many` column as `many:<name>` `[W, L]`."""


def block_parser(
    packing: Packing, *, columns: Iterable[Column], aligned: Iterable[tuple[str, ...]] = ()
) -> Callable[[tf.Tensor], Packed]:
    """Makes the function that decodes a window of blocks.

    Every block is checked separately, including columns that are not wanted, before any part of the window is used:
    one block whose parts do not fit together would move the rows of those after it.

    Args:
      packing: How the blocks were written.
      columns: Columns that are wanted, with the `length` wanted of each `many` column.
      aligned: Groups of `many` columns that must have equally many values in a row.

    Returns:
      A function of serialized blocks `[K]` that gives all their rows in order, packed. A bad block stops it with one of
      `pipeline.INPUT_ERRORS`.
    """
    many = tuple(column for column in columns if column.form == "many")
    groups = tuple(aligned)
    widths = packing.widths()
    spec: dict[str, Any] = {HEADER: tf.io.FixedLenFeature([], tf.string), ROWS: tf.io.FixedLenFeature([], tf.int64)}
    for dtype in widths:
        spec[dtype] = _feature_spec(dtype)
    for column in packing.many:
        spec[f"values:{column.name}"] = _feature_spec(column.dtype)
        spec[f"lengths:{column.name}"] = tf.io.FixedLenFeature([], tf.string)

    def parse(serialized: tf.Tensor) -> Packed:
        parsed = tf.io.parse_example(checked_examples(serialized, features=len(spec)), spec)
        with tf.control_dependencies([_check_sizes(parsed, packing)]):
            rows = tf.identity(parsed[ROWS])
        lengths = {
            column.name: tf.io.decode_raw(tf.strings.reduce_join(parsed[f"lengths:{column.name}"]), tf.int32)
            for column in packing.many
        }
        with tf.control_dependencies([rows, *_check_lengths(parsed, lengths, rows, packing, groups)]):
            total = tf.reduce_sum(rows)
        packed = {
            dtype: tf.reshape(_joined(parsed[dtype], dtype), tf.stack([total, width]))
            for dtype, width in widths.items()
        }
        for column in many:
            values = _joined(parsed[f"values:{column.name}"], column.dtype)
            with tf.control_dependencies([total]):
                splits = tf.concat([[0], tf.cumsum(lengths[column.name])], axis=0)
            packed[f"many:{column.name}"] = padded_last(values, splits, length=column.length, missing=column.missing)
        return packed

    return parse


def _check_sizes(parsed: dict[str, Any], packing: Packing) -> tf.Operation:
    """Stops at a block of other columns, or one whose parts do not have the size that its number of rows implies."""
    rows = parsed[ROWS]
    good = [(parsed[HEADER] == packing.header()) & (rows >= 1) & (rows <= _MOST_ROWS)]
    good += [_number_of(parsed[dtype], dtype) == rows * width for dtype, width in packing.widths().items()]
    good += [_number_of(parsed[f"lengths:{column.name}"], "int32") == rows for column in packing.many]
    message = "fullrank: blocks of different columns in one split, or a block whose parts do not fit together"
    return tf.debugging.Assert(tf.reduce_all(tf.stack(good)), [message])


def _check_lengths(
    parsed: dict[str, Any],
    lengths: dict[str, tf.Tensor],
    rows: tf.Tensor,
    packing: Packing,
    aligned: tuple[tuple[str, ...], ...],
) -> list[tf.Operation]:
    """Stops at a block in which the lengths of a column are not those of its values, or not those of another column."""
    last = tf.cumsum(rows) - 1
    good = []
    for column in packing.many:
        # If the lengths count all values up to the end of each block, they do so in every block.
        found = tf.gather(tf.cumsum(tf.cast(lengths[column.name], tf.int64)), last)
        values = tf.cumsum(_number_of(parsed[f"values:{column.name}"], column.dtype))
        good += [tf.reduce_all(found == values), tf.reduce_all(lengths[column.name] >= 0)]
    good += [tf.reduce_all(lengths[first] == lengths[other]) for first, *others in aligned for other in others]
    message = "fullrank: a block whose lengths do not fit its values, or those of another column"
    return [tf.debugging.Assert(tf.reduce_all(tf.stack(good)), [message])] if good else []


def _number_of(part: Any, dtype: str) -> tf.Tensor:
    """How many values each block has in a part, int64 `[K]`; -1 where its bytes are not a whole number of values."""
    if dtype == "bytes":
        return tf.cast(part.row_lengths(), tf.int64)
    size = np.dtype(MATRICES.get(dtype, "<i4")).itemsize
    bytes_found = tf.cast(tf.strings.length(part), tf.int64)
    return tf.where(bytes_found % size == 0, bytes_found // size, -1)


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
