"""The tf.data graph that turns files into batches.

Shuffling happens on three levels, each cheap: the order of the files, the order of chunks of records drawn from several
files at once through a buffer, and the rows of a window of several chunks. A chunk is one record of the block layout
or `CHUNK` records of the example layout, so that no operation runs per row. Where blocks hold requests, a window
shuffles these instead of rows: the rows of a request remain together, and its columns are repeated only in the batch.

Everything random is a function of (seed, epoch) or (seed, window), never of hidden state, so that an iterator that was
saved resumes exactly where it stood.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.data.reading.request_batches import permuted_requests, request_batches
from fullrank.data.records.bad_data import BadDataError, BadRecord
from fullrank.data.records.block_layout import OWNER, block_parser, unpacker
from fullrank.data.records.encode_block import BLOCK_ROWS
from fullrank.data.records.example_layout import example_parser
from fullrank.data.records.frames import fault_in_lengths
from fullrank.data.records.packing import Packing
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import aligned_columns, batch_check, value_rules

INPUT_ERRORS: Final = (tf.errors.OpError, UnicodeDecodeError)
"""What the pipeline raises at a bad record. TensorFlow's message on a record that cannot be parsed quotes its bytes,
and Python may fail to decode that message."""

CHUNK: Final = 128
"""Records of the example layout that are shuffled as one chunk."""
_CYCLE: Final = 8
_WINDOW_ROWS: Final = 16384
_READ_BUFFER: Final = 1 << 20
_MOST_PASSES: Final = 1 << 40
"""More than one iterator makes, of passes or of windows: apart by this, seeds of several readers do not meet."""
_REMEMBERED: Final = 1 << 16
"""Files whose record lengths a process checks only once, as long as they do not change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The files that one of several iterators reads in each pass, with a graph that is the same for all of them.

    Pass e of number n reads the files at the places p with p = n + e (mod `readers`) of the list of files, which a seed
    mixes anew for each pass. Numbers 0 to `readers` - 1 together read every file once in each pass. A later number,
    that of an iterator that takes the place of a lost one, mixes the list in another way, so that no file is left out
    for good.

    Attributes:
      number: Of the iterator, from 0, an int64 scalar that may be known only when the graph runs.
      readers: How many iterators read at the same time.
    """

    number: tf.Tensor
    readers: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """In which order rows come.

    Attributes:
      seed: `None` for the order of the files.
      shuffle_examples: Rows in the buffer that chunks are drawn from.
      epochs: Passes; `None` never ends.
      deterministic: Whether the order must be the same in every run.
      share: Which files; `None` for all. With a share the graph runs in any process, and lengths of records are not
        checked: see `check_lengths`.
    """

    seed: int | None = None
    shuffle_examples: int = 65536
    epochs: int | None = 1
    deterministic: bool = True
    share: Share | None = None


def batches(
    schema: Schema,
    *,
    files: list[str] | tf.Tensor,
    packing: Packing | None,
    batch_size: int,
    drop_remainder: bool,
    order: Order,
    shared: Collection[str] = (),
) -> tf.data.Dataset:
    """Builds the pipeline.

    Args:
      schema: What to read.
      files: Paths of the shards: a list, or a tensor `[n]` when reading in order.
      packing: How the blocks of these files were written; `None` in the example layout.
      batch_size: Rows of a batch.
      drop_remainder: Whether a last batch that is not full is dropped.
      order: In which order rows come.
      shared: Columns of requests that batches hold as `PerRequest`.
    """
    check = batch_check(value_rules(schema), explicit_nan=schema.layout == "example")
    finish: Callable[[Any], dict[str, tf.Tensor]]
    if packing is None:
        rows = _example_rows(schema, files, batch_size, order)
        finish = example_parser(schema.columns, aligned=aligned_columns(schema), left_out=schema.left_out)
    else:
        rows = _block_rows(schema, files, packing, order)
        finish = unpacker(packing, columns=schema.columns, shared=shared)

    def to_batch(part: Any) -> dict[str, tf.Tensor]:
        batch = finish(part)
        check(batch)
        return batch

    if packing is None or packing.requests is None:
        dataset = rows.rebatch(batch_size, drop_remainder=drop_remainder)
    else:
        ends = order.epochs is not None
        dataset = request_batches(
            rows, packing=packing, batch_size=batch_size, drop_remainder=drop_remainder, ends=ends
        )
    if packing is None:
        # Reading continues while every core parses.
        dataset = dataset.prefetch(2)
    dataset = dataset.map(_as_is(to_batch), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
    return dataset.with_options(_options(order))


def _options(order: Order) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = order.deterministic or order.seed is None
    # TensorFlow's tuning thread can miss the end of its iterator and then blocks the deletion of the iterator until its
    # period, which doubles up to a minute, is over: a pass of 6 s was seen to take 10.4. Without it, AUTOTUNE below
    # means one call per core.
    options.autotune.enabled = False
    # Files are shared out by `worker` and `workers`; tf.distribute must not share them out again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A shuffle inside an epoch holds a placeholder for a seed generator, which counts as state that a checkpoint
    # would lose. Its seed is an argument here, so nothing is lost.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    return options


def _example_rows(schema: Schema, files: list[str] | tf.Tensor, batch_size: int, order: Order) -> tf.data.Dataset:
    """Serialized examples in vectors of any length."""
    if order.seed is None:
        return _passes(
            lambda epoch: _in_order(
                _files_of_pass(files, order, epoch), lambda file: _records(file, schema, order).batch(batch_size)
            ),
            order,
        )

    def permuted(number: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        return tf.gather(window, _permutation(tf.size(window), order, number))

    def one_pass(epoch: tf.Tensor) -> tf.data.Dataset:
        chunks = _shuffled(files, lambda file: _records(file, schema, order).batch(CHUNK), CHUNK, order, epoch)
        return chunks.rebatch(_window_rows(order))

    windows = _passes(one_pass, order)
    return windows.enumerate().map(_as_is(permuted), num_parallel_calls=tf.data.AUTOTUNE)


def _block_rows(schema: Schema, files: list[str] | tf.Tensor, packing: Packing, order: Order) -> tf.data.Dataset:
    """Packed rows in windows of any length."""
    parse = block_parser(packing, columns=schema.columns, aligned=aligned_columns(schema))
    blocks_a_window = max(1, _window_rows(order) // BLOCK_ROWS)

    def one_pass(epoch: tf.Tensor) -> tf.data.Dataset:
        if order.seed is None:
            read = _files_of_pass(files, order, epoch)
            return _in_order(read, lambda file: _records(file, schema, order)).batch(blocks_a_window)
        blocks = _shuffled(files, lambda file: _records(file, schema, order), BLOCK_ROWS, order, epoch)
        return blocks.batch(blocks_a_window)

    def window(number: tf.Tensor, blocks: tf.Tensor) -> Any:
        packed = parse(blocks)
        if order.seed is None:
            return packed
        if packing.requests is not None:
            requests = packed[OWNER][-1] + 1
            return permuted_requests(packed, _permutation(requests, order, number), packing=packing)
        permutation = _permutation(tf.shape(next(iter(packed.values())))[0], order, number)
        return {name: tf.gather(value, permutation) for name, value in packed.items()}

    windows = _passes(one_pass, order)
    return windows.enumerate().map(_as_is(window), num_parallel_calls=tf.data.AUTOTUNE)


def _as_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps AutoGraph, which these functions do not need, from spending half a second on their source code."""
    converted: Callable[..., Any] = tf.autograph.experimental.do_not_convert(function)
    return converted


def _window_rows(order: Order) -> int:
    return min(_WINDOW_ROWS, max(1, order.shuffle_examples))


def _records(file: tf.Tensor, schema: Schema, order: Order) -> tf.data.Dataset:
    # The check is a Python function, which only the process that made it can run.
    checked = checked_file(file, compression=schema.compression) if order.share is None else file
    return tf.data.TFRecordDataset(checked, compression_type=schema.compression or None, buffer_size=_READ_BUFFER)


def checked_file(file: tf.Tensor, *, compression: str) -> tf.Tensor:
    """The same path, a string `[]`, for use in a graph; stops it where `fault_in_lengths` finds a fault."""

    def check(path: Any) -> Any:
        path = np.array(path, object)
        check_lengths(Path(os.fsdecode(path.item())), compression=compression)
        return path

    return tf.ensure_shape(tf.numpy_function(check, [file], tf.string), [])


def check_lengths(path: Path, *, compression: str) -> None:
    """Reads the lengths of all records of a file, unless they were read before and the file has not changed since.

    Raises:
      BadDataError: If `fault_in_lengths` finds a fault.
    """
    stat = path.stat()
    _check_lengths(path, compression, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(_REMEMBERED)
def _check_lengths(path: Path, compression: str, _size: int, _changed: int) -> None:
    fault = fault_in_lengths(path, compression=compression)
    if fault is not None:
        raise BadDataError(str(BadRecord(file=str(path), record=fault.record, reason=fault.reason)))


def _in_order(files: list[str] | tf.Tensor, read: Callable[[tf.Tensor], tf.data.Dataset]) -> tf.data.Dataset:
    """Reads one file after the other; every element costs a call, so elements should not be single rows."""
    return tf.data.Dataset.from_tensor_slices(files).flat_map(_as_is(read))


def _passes(one_pass: Callable[[tf.Tensor], tf.data.Dataset], order: Order) -> tf.data.Dataset:
    """One pass after the other; a pass is a function of its number."""
    counter = tf.data.Dataset.counter() if order.epochs is None else tf.data.Dataset.range(order.epochs)
    return counter.flat_map(_as_is(one_pass))


def _shuffled(
    files: list[str] | tf.Tensor,
    read: Callable[[tf.Tensor], tf.data.Dataset],
    chunk_rows: int,
    order: Order,
    epoch: tf.Tensor,
) -> tf.data.Dataset:
    """One pass over the chunks of all files, shuffled."""
    # Within this function, which is traced as a graph of its own, it keeps the program's global seed out of the order.
    tf.random.set_seed(1)
    drawn = _drawn(order, epoch)
    dataset = tf.data.Dataset.from_tensor_slices(_files_of_pass(files, order, epoch))
    dataset = dataset.interleave(
        read,
        cycle_length=min(len(files), _CYCLE),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=order.deterministic,
    )
    chunks = max(1, order.shuffle_examples // chunk_rows)
    return dataset.shuffle(chunks, seed=drawn, reshuffle_each_iteration=False)


def _files_of_pass(files: list[str] | tf.Tensor, order: Order, epoch: tf.Tensor) -> list[str] | tf.Tensor:
    """The files that a pass reads, in its order."""
    mixed = files
    if order.seed is not None:
        mixed = tf.random.experimental.stateless_shuffle(files, seed=tf.stack([_drawn(order, epoch), 0]))
    share = order.share
    if share is None:
        return mixed
    return tf.convert_to_tensor(mixed)[(share.number + epoch) % share.readers :: share.readers]


def _drawn(order: Order, epoch: tf.Tensor) -> tf.Tensor:
    """The seed of a pass, which all readers share but those that take the place of lost ones."""
    if order.share is not None:
        epoch += order.share.number // order.share.readers * _MOST_PASSES
    return tf.random.stateless_uniform([], seed=tf.stack([_seed(order), epoch]), maxval=2**31 - 1, dtype=tf.int64)


def _permutation(rows: tf.Tensor, order: Order, number: tf.Tensor) -> tf.Tensor:
    if order.share is not None:
        number += order.share.number * _MOST_PASSES
    return tf.random.experimental.stateless_shuffle(tf.range(rows), seed=tf.stack([_seed(order) + 1, number]))


def _seed(order: Order) -> tf.Tensor:
    return tf.constant(order.seed, tf.int64)
