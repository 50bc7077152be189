"""Reads records as batches of named tensors, or as what `keras.Model.fit` expects: features, labels and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from fullrank.data.reading.pipeline import Order, Share, batches, check_lengths
from fullrank.data.reading.repair import repair_split
from fullrank.data.reading.weights import example_weights
from fullrank.data.records.per_request import shared_histories
from fullrank.data.records.shard_files import check_split, directory_of, shards_of_worker, with_shards
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema

Batch = dict[str, tf.Tensor]


def read_records(
    source: str | Path | Schema,
    *,
    split: str = "train",
    batch_size: int,
    seed: int | None = None,
    shuffle_examples: int = 65536,
    epochs: int | None = 1,
    drop_remainder: bool = False,
    worker: int = 0,
    workers: int = 1,
    deterministic: bool = False,
    on_bad_record: Literal["fail", "skip"] = "fail",
    max_bad_fraction: float = 0.01,
    cache_directory: str | Path | None = None,
    histories: Literal["per_row", "per_request"] = "per_row",
) -> tf.data.Dataset:
    """Reads a split as batches: column name -> dense tensor, for every column of the schema.

    A damaged record or a forbidden value stops the dataset with a TensorFlow error that cannot say where it was;
    `explain` turns that into a `BadDataError` that can.

    Args:
      source: A data set directory, or a schema that was read from one. Features may be taken out of such a schema.
      split: Name of the split.
      batch_size: Rows of a batch.
      seed: `None` reads in the order of the files. A number shuffles files, chunks of records and rows, in a different
        order every epoch.
      shuffle_examples: Rows in the buffer that chunks are drawn from when shuffling; chunks come from several files.
      epochs: Passes over the split; `None` never ends. A batch may span two passes.
      drop_remainder: Whether to drop a last batch that is not full, which makes the batch dimension static.
      worker: Number of this worker, from 0.
      workers: How many workers share the files.
      deterministic: Whether a seed must give the same order in every run. Otherwise a slow file may be overtaken.
      on_bad_record: `fail` reads the files as they are. `skip` first looks through all of them, leaves bad records out,
        reports which, and reads the rest; files found to be good are not checked again.
      max_bad_fraction: With `skip`, the largest share of the split's examples that may be left out.
      cache_directory: With `skip`, where repaired copies and the list of good files are kept.
      histories: `per_request` leaves histories that records hold once per request as they are: these columns are
        `PerRequest`, which a `Ranker` reads. Otherwise, and where records do not hold them so, they have a row per row.

    Returns:
      A dataset whose iterator can be saved and restored by `tf.train.Checkpoint(iterator=...)`. The content of its
      buffers is saved with it, so a large `shuffle_examples` makes a large checkpoint.

    Raises:
      SchemaError: If there is no such split.
      BadDataError: If a file is missing, cut off or of another data set; with `skip`, if too much of it is bad.
      ValueError: If an argument is out of range.
    """
    _check_arguments(batch_size, shuffle_examples, epochs, on_bad_record)
    schema = source if isinstance(source, Schema) else read_schema(source)
    shards = shards_of_worker(schema, split=split, worker=worker, workers=workers)
    schema = with_shards(schema, split=split, shards=shards)
    if on_bad_record == "skip":
        if cache_directory is None:
            raise ValueError("on_bad_record='skip' needs cache_directory, where repaired copies of files are kept.")
        repaired = repair_split(schema, split=split, cache_directory=cache_directory, max_bad_fraction=max_bad_fraction)
        schema = repaired.schema
    packing = check_split(schema, split=split)
    directory, shared = directory_of(schema), frozenset[str]()
    if histories == "per_request" and packing is not None:
        shared = shared_histories(schema, per_request=packing.per_request)
    return batches(
        schema,
        files=[str(directory / shard.file) for shard in schema.split(split).shards if shard.examples],
        packing=packing,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        order=Order(seed=seed, shuffle_examples=shuffle_examples, epochs=epochs, deterministic=deterministic),
        shared=shared,
    )


def read_share(
    source: str | Path | Schema,
    *,
    split: str,
    batch_size: int,
    readers: int,
    seed: int | None = None,
    shuffle_examples: int = 65536,
    deterministic: bool = False,
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Prepares to read a split by several iterators in processes that only run graphs, such as those of servers.

    All files are checked now, by this process: later a fault is an error that names no record.

    Args:
      source: As for `read_records`, like all arguments but `readers`.
      split: Name of the split.
      batch_size: Rows of a batch.
      readers: How many iterators read at the same time.
      seed: `None` reads the files of a pass in their order.
      shuffle_examples: Rows in the buffer that each reader draws chunks from.
      deterministic: Whether a seed and a number must give the same order in every run.

    Returns:
      A function of the number of an iterator, an int64 scalar, that gives its endless batches: see `Share`.

    Raises:
      SchemaError: If there is no such split.
      BadDataError: If a file is missing, damaged in a length, or of another data set.
      ValueError: If an argument is out of range.
    """
    _check_arguments(batch_size, shuffle_examples, None, "fail")
    if readers < 1:
        raise ValueError(f"readers is at least 1. Received: {readers}.")
    schema = source if isinstance(source, Schema) else read_schema(source)
    packing = check_split(schema, split=split)
    paths = [directory_of(schema).absolute() / shard.file for shard in schema.split(split).shards if shard.examples]
    for path in paths:
        check_lengths(path, compression=schema.compression)

    def read(number: tf.Tensor) -> tf.data.Dataset:
        order = Order(
            seed=seed,
            shuffle_examples=shuffle_examples,
            epochs=None,
            deterministic=deterministic,
            # A reader without a file in a pass would only wait: those beyond the number of files mix them anew.
            share=Share(number=number, readers=min(readers, len(paths))),
        )
        files = [str(path) for path in paths]
        return batches(schema, files=files, packing=packing, batch_size=batch_size, drop_remainder=False, order=order)

    return read


def _check_arguments(batch_size: int, shuffle_examples: int, epochs: int | None, on_bad_record: str) -> None:
    if batch_size < 1 or shuffle_examples < 1 or (epochs is not None and epochs < 1):
        raise ValueError(
            "batch_size, shuffle_examples and epochs are at least 1 (epochs may be None). "
            f"Received: {batch_size}, {shuffle_examples}, {epochs}."
        )
    if on_bad_record not in ("fail", "skip"):
        raise ValueError(f"on_bad_record is 'fail' or 'skip'. Received: {on_bad_record!r}.")


def split_batch(schema: Schema, *, labels: Sequence[str] | None = None) -> Callable[[Batch], tuple[Batch, Any, Any]]:
    """Makes the function that splits a batch for a Keras model of the user's own.

    Example:
      dataset = data.read_records("records", batch_size=2048).map(data.split_batch(schema, labels=["click"]))

    Args:
      schema: Says which columns are inputs and which is the sample weight.
      labels: Tasks; `None` for all labels of the schema.

    Returns:
      A function of a batch that gives `(features, labels, weights)`: `features` holds the input columns; `labels` and
      `weights` are `[B]` for one task and dicts by task for several. Where a label was not observed, its value is 0 and
      its weight is 0, so that it adds nothing to the loss. A missing sample weight counts as 1.

    Raises:
      SchemaError: If a label is not in the schema.
    """
    names = tuple(schema.label(name).name for name in (labels or [label.name for label in schema.labels]))
    inputs = tuple(column.name for column in schema.input_columns)

    def split(batch: Batch) -> tuple[Batch, Any, Any]:
        targets, weights, given = {}, {}, example_weights(batch, schema.weight)
        for name in names:
            label = batch[name]
            observed = tf.logical_not(tf.math.is_nan(label))
            weight = tf.ones_like(label) if given is None else given
            targets[name] = tf.where(observed, label, tf.zeros_like(label))
            weights[name] = tf.where(observed, weight, tf.zeros_like(label))
        features = {name: batch[name] for name in inputs}
        if len(names) == 1:
            return features, targets[names[0]], weights[names[0]]
        return features, targets, weights

    return split
