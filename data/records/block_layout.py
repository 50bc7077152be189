"""The fast record layout: a block of rows per record, column by column.

A block is a `tf.train.Example` with few, large features. All `one` and `fixed` columns of a dtype lie in one row-major
matrix, so that a whole window of blocks is decoded, permuted and sliced into batches by one operation per dtype instead
of one per column. A `many` column is its values and its lengths. Numbers are raw little-endian bytes.

A block may hold some columns once per request: in a log of requests, the user's columns and histories are the same for
all ads that a request was about. These columns lie in features of their own, `request:...`, with a row per request, and
`request:sizes` is the number of rows of each request. A request has at least one row, its rows follow each other, and
it lies in one block. A graph keeps both parts as they are up to the batch: there a row finds the columns of its request
by its number (`OWNER`). So requests are read, checked and shuffled as a whole, and nothing is repeated per row before a
batch is made.

The part of the rows and that of the requests are the same kind of thing, `packing.Part`, encoded, checked and decoded
by the same code. A batch has `batch_size` rows in either case, so that steps, epochs, learning rates and losses mean
the same; a request that a batch has no room for is continued in the next one.

A header lists the columns. It distinguishes a block from any other record, lets a reader find the columns it wants
among those that were written, and makes blocks of another data set an error instead of wrong numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.records.block_checks import MOST_ROWS, check_lengths, check_requests, check_sizes, number_of
from fullrank.data.records.encode_block import Sizes, encode_block
from fullrank.data.records.example_bytes import checked_examples, is_example
from fullrank.data.records.example_layout import PARSERS, padded_last
from fullrank.data.records.packing import HEADER, MATRICES, ROWS, SIZES, BlockError, Packing, Part
from fullrank.data.records.per_request import PerRequest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Ragged, take_rows, taken


class Block(NamedTuple):
    """What a block holds.

    Attributes:
      packing: The layout of its columns.
      columns: All columns; those of requests have one row per request.
      sizes: Rows of each request, `[R]`; `None` in a block without requests.
    """

    packing: Packing
    columns: dict[str, npt.NDArray[Any] | Ragged]
    sizes: Sizes | None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        first = self.columns[self.packing.rows.columns[0].name]
        return first.rows if isinstance(first, Ragged) else len(first)

    def rows_at(self, part: Part, place: int) -> range:
        """The rows that a row of a part belongs to: itself, or all rows of a request."""
        if self.sizes is None or part == self.packing.rows:
            return range(place, place + 1)
        end = int(self.sizes[: place + 1].sum(dtype=np.int64))
        return range(end - int(self.sizes[place]), end)

    def with_rows(self, rows: npt.NDArray[np.intp]) -> bytes:
        """A block of some of the rows, at least one, in ascending order; a request that keeps none is left out."""
        if self.sizes is None:
            return encode_block(take_rows(self.columns, rows), packing=self.packing)
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)[rows]
        requests, sizes = np.unique(owner, return_counts=True)
        shared = self.packing.per_request
        columns = {name: taken(each, requests if name in shared else rows) for name, each in self.columns.items()}
        return encode_block(columns, packing=self.packing, sizes=sizes.astype(np.int32))

    def of_rows(self) -> dict[str, npt.NDArray[Any] | Ragged]:
        """All columns with one row per row of the block."""
        if self.sizes is None:
            return self.columns
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        shared = self.packing.per_request
        return {name: taken(each, owner) if name in shared else each for name, each in self.columns.items()}


def decode_block(record: bytes) -> Block:
    """The inverse of `encode_block`, for looking into blocks outside a graph.

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
    if not 1 <= rows <= MOST_ROWS:
        raise BlockError("damaged block: an impossible number of rows", received=str(rows))
    columns = _decoded(features, packing.rows, rows)
    if packing.requests is None:
        return Block(packing, columns, None)
    sizes = _array_of(features[SIZES], "int32")
    if sizes.min(initial=1) < 1 or int(sizes.sum(dtype=np.int64)) != rows:
        received = f"{len(sizes)} requests of {sizes.min(initial=0)} rows and more, {sizes.sum(dtype=np.int64)} in all"
        raise BlockError(f"damaged block: {rows} rows", received=received)
    return Block(packing, {**columns, **_decoded(features, packing.requests, len(sizes))}, sizes)


def _decoded(features: Any, part: Part, rows: int) -> dict[str, npt.NDArray[Any] | Ragged]:
    """The columns of a part with this many rows."""
    columns: dict[str, npt.NDArray[Any] | Ragged] = {}
    for dtype, width in part.widths().items():
        matrix = _array_of(features[f"{part.prefix}{dtype}"], dtype)
        if len(matrix) != rows * width:
            reason = f"damaged block: {rows} {part.of} of {width} {dtype} columns"
            raise BlockError(reason, received=f"{len(matrix)} values")
        matrix = matrix.reshape(rows, width)
        for column in part.matrix(dtype):
            offset = part.offset(column.name)
            values = matrix[:, offset : offset + column.length]
            columns[column.name] = values[:, 0] if column.form == "one" else values
    for column in part.many:
        values = _array_of(features[f"{part.prefix}values:{column.name}"], column.dtype)
        lengths = _array_of(features[f"{part.prefix}lengths:{column.name}"], "int32")
        if len(lengths) != rows or lengths.min() < 0 or int(lengths.sum(dtype=np.int64)) != len(values):
            received = f"{len(lengths)} lengths from {lengths.min(initial=0)}, {len(values)} values"
            raise BlockError(f"damaged block: {rows} {part.of}", feature=column.name, received=received)
        columns[column.name] = Ragged(values, lengths)
    return columns


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
"""Rows of blocks in a graph: matrices by dtype `[W, width]`, and each `many` column as `many:<name>` `[W, L]`.

With requests, the columns of these are in `request:<dtype>` `[R, width]` and `request:many:<name>` `[R, L]`, and
`OWNER`, int32 `[W]`, is the request of each row; the rows of a request follow each other."""

OWNER: Final = "owner"
Aligned = tuple[tuple[str, ...], ...]


def block_parser(
    packing: Packing, *, columns: Iterable[Column], aligned: Iterable[tuple[str, ...]] = ()
) -> Callable[[tf.Tensor], Packed]:
    """Makes the function that decodes a window of blocks.

    Every block is checked separately, including columns that are not wanted, before any part of the window is used:
    one block whose parts do not fit together would move the rows of those after it.

    Args:
      packing: How the blocks were written.
      columns: Columns that are wanted, with the `length` wanted of each `many` column.
      aligned: Groups of `many` columns that must have the same number of values in each row. No group is divided
        between rows and requests.

    Returns:
      A function of serialized blocks `[K]` that gives all their rows in order, packed. A bad block stops it with one of
      `pipeline.INPUT_ERRORS`.
    """
    return _block_parser(packing, tuple(columns), tuple(aligned))


# The pipelines of a process, for training, validation and looks at the labels, share one graph.
@functools.lru_cache(PARSERS)
def _block_parser(packing: Packing, columns: tuple[Column, ...], groups: Aligned) -> Callable[[tf.Tensor], Packed]:
    wanted = {column.name: column for column in columns}
    spec: dict[str, Any] = {HEADER: tf.io.FixedLenFeature([], tf.string), ROWS: tf.io.FixedLenFeature([], tf.int64)}
    for part in packing.parts:
        for dtype in part.widths():
            spec[f"{part.prefix}{dtype}"] = _feature_spec(dtype)
        for column in part.many:
            spec[f"{part.prefix}values:{column.name}"] = _feature_spec(column.dtype)
            spec[f"{part.prefix}lengths:{column.name}"] = tf.io.FixedLenFeature([], tf.string)
    if packing.requests is not None:
        spec[SIZES] = tf.io.FixedLenFeature([], tf.string)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse(serialized: tf.Tensor) -> Packed:
        parsed = tf.io.parse_example(checked_examples(serialized, features=len(spec)), spec)
        counts = {"": parsed[ROWS]}
        if packing.requests is not None:
            counts[packing.requests.prefix] = number_of(parsed[SIZES], "int32")
        with tf.control_dependencies([check_sizes(parsed, counts, packing)]):
            counts = {prefix: tf.identity(count) for prefix, count in counts.items()}
        packed: Packed = {}
        if packing.requests is not None:
            requests = counts[packing.requests.prefix]
            sizes = tf.io.decode_raw(tf.strings.reduce_join(parsed[SIZES]), tf.int32)
            with tf.control_dependencies([check_requests(sizes, requests=requests, rows=counts[""])]):
                packed[OWNER] = tf.repeat(tf.range(tf.size(sizes)), sizes)
        for part in packing.parts:
            packed |= _parsed(parsed, part, counts[part.prefix], wanted, groups)
        return packed

    traced: Callable[[tf.Tensor], Packed] = parse
    return traced


def _parsed(
    parsed: dict[str, Any], part: Part, counts: tf.Tensor, wanted: Mapping[str, Column], groups: Aligned
) -> Packed:
    """The rows of a part, from blocks that have `counts` of them each, `[K]`."""
    lengths = {
        column.name: tf.io.decode_raw(tf.strings.reduce_join(parsed[f"{part.prefix}lengths:{column.name}"]), tf.int32)
        for column in part.many
    }
    with tf.control_dependencies(check_lengths(parsed, lengths, counts, part, groups)):
        total = tf.reduce_sum(counts)
    packed = {
        f"{part.prefix}{dtype}": tf.reshape(_joined(parsed[f"{part.prefix}{dtype}"], dtype), tf.stack([total, width]))
        for dtype, width in part.widths().items()
    }
    for name in (column.name for column in part.many if column.name in wanted):
        column = wanted[name]
        values = _joined(parsed[f"{part.prefix}values:{name}"], column.dtype)
        with tf.control_dependencies([total]):
            splits = tf.concat([[0], tf.cumsum(lengths[name])], axis=0)
        padded = padded_last(values, splits, length=column.length, missing=column.missing)
        packed[f"{part.prefix}many:{name}"] = padded
    return packed


def unpacker(
    packing: Packing, *, columns: Iterable[Column], shared: Collection[str] = ()
) -> Callable[[Packed], dict[str, Any]]:
    """Makes the function that cuts packed rows into columns.

    Args:
      packing: How the blocks were written.
      columns: Columns that are wanted.
      shared: `many` columns of requests that stay as they are.

    Returns:
      A function of packed rows that gives every column as a dense tensor, as in `Column`, or, if it is among `shared`,
      as `PerRequest`.
    """
    wanted = tuple(columns)
    part_of = {column.name: part for part in packing.parts for column in part.columns}
    offsets = {column.name: part_of[column.name].offset(column.name) for column in wanted if column.form != "many"}

    def unpack(packed: Packed) -> dict[str, Any]:
        held = {name: f"{part_of[name].prefix}many:{name}" for name in shared}
        rows = _of_rows({name: value for name, value in packed.items() if name not in held.values()}, packing)
        split = {
            f"{part.prefix}{dtype}": tf.unstack(rows[f"{part.prefix}{dtype}"], num=width, axis=1)
            for part in packing.parts
            for dtype, width in part.widths().items()
        }
        batch: dict[str, Any] = {}
        for column in wanted:
            prefix = part_of[column.name].prefix
            if column.name in held:
                batch[column.name] = PerRequest(packed[held[column.name]], packed[OWNER])
                continue
            if column.form == "many":
                batch[column.name] = rows[f"{prefix}many:{column.name}"]
                continue
            offset, matrix = offsets[column.name], f"{prefix}{column.dtype}"
            if column.form == "one":
                batch[column.name] = split[matrix][offset]
            else:
                batch[column.name] = rows[matrix][:, offset : offset + column.length]
        return batch

    return unpack


def _of_rows(packed: Packed, packing: Packing) -> Packed:
    """The same columns with one row per row: those of requests are repeated."""
    if packing.requests is None:
        return packed
    prefix = packing.requests.prefix
    return {name: tf.gather(v, packed[OWNER]) if name.startswith(prefix) else v for name, v in packed.items()}


def _feature_spec(dtype: str) -> Any:
    if dtype == "bytes":
        return tf.io.RaggedFeature(tf.string)
    return tf.io.FixedLenFeature([], tf.string)


def _joined(parsed: Any, dtype: str) -> tf.Tensor:
    """The values of all blocks, one after the other."""
    if dtype == "bytes":
        return parsed.values
    return tf.io.decode_raw(tf.strings.reduce_join(parsed), tf.dtypes.as_dtype(dtype))
