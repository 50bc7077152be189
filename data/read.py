"""Reads records as batches of named tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from fullrank.data.block_layout import BLOCK_ROWS, HEADER, Packing, block_parser, unpacker
from fullrank.data.example_layout import example_parser
from fullrank.data.schema import Schema, SchemaError
from fullrank.data.schema_json import read_schema


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
) -> tf.data.Dataset:
    """Reads a split as batches: column name -> dense tensor, for every column of the schema.

    Args:
      source: A data set directory, or a schema that was read from one.
      split: Name of the split.
      batch_size: Rows of a batch.
      seed: `None` reads in the order of the files. A number shuffles files, blocks and rows by it.
      shuffle_examples: Rows held ready to draw from when shuffling.
      epochs: Passes over the split; `None` never ends.
      drop_remainder: Whether to drop a last batch that is not full, which makes the batch dimension static.
      worker: Number of this worker, from 0.
      workers: How many workers share the files.
      deterministic: Whether the order for a seed must be the same in every run; it is a little slower.
      on_bad_record: Not yet used.
      max_bad_fraction: Not yet used.
      cache_directory: Not yet used.

    Returns:
      A dataset whose iterator can be saved and restored by `tf.train.Checkpoint(iterator=...)`.
    """
    schema = source if isinstance(source, Schema) else read_schema(source)
    if schema.directory is None:
        raise SchemaError(f"Schema {schema.name!r} was not read from a directory, so it has no records.")
    files = [str(schema.directory / shard.file) for shard in schema.split(split).shards][worker::workers]

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices(files)
        if seed is not None:
            dataset = dataset.shuffle(len(files), seed=seed + epoch, reshuffle_each_iteration=False)
        dataset = dataset.interleave(
            lambda file: tf.data.TFRecordDataset(file, compression_type=schema.compression or None),
            cycle_length=1 if seed is None else min(len(files), 8),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        if seed is not None:
            units = shuffle_examples // (BLOCK_ROWS if schema.layout == "block" else 1)
            dataset = dataset.shuffle(max(2, units), seed=seed + epoch, reshuffle_each_iteration=False)
        return dataset

    counter = tf.data.Dataset.counter() if epochs is None else tf.data.Dataset.range(epochs)
    records = counter.flat_map(epoch_records)
    if schema.layout == "example":
        parse = example_parser(schema.columns)
        dataset = records.batch(batch_size, drop_remainder=drop_remainder).map(parse, tf.data.AUTOTUNE)
    else:
        dataset = _block_batches(records, schema, files[0], batch_size, seed, drop_remainder)
    options = tf.data.Options()
    options.deterministic = deterministic or seed is None
    return dataset.prefetch(2).with_options(options)


def _block_batches(
    records: tf.data.Dataset, schema: Schema, file: str, batch_size: int, seed: int | None, drop_remainder: bool
) -> tf.data.Dataset:
    first = next(iter(tf.data.TFRecordDataset(file, compression_type=schema.compression or None)))
    example = tf.train.Example.FromString(first.numpy())
    packing = Packing.from_header(example.features.feature[HEADER].bytes_list.value[0])
    packing.check_serves(schema.columns, source=file)
    parse = block_parser(packing, columns=schema.columns)
    unpack: Callable[[Any], Any] = unpacker(packing, columns=schema.columns)

    def window(number: tf.Tensor, blocks: tf.Tensor) -> Any:
        packed = parse(blocks)
        if seed is None:
            return packed
        rows = tf.shape(next(iter(packed.values())))[0]
        order = tf.random.experimental.stateless_shuffle(tf.range(rows), seed=tf.stack([seed, number]))
        return {name: tf.gather(value, order) for name, value in packed.items()}

    windows = records.batch(16).enumerate().map(window, tf.data.AUTOTUNE)
    return windows.rebatch(batch_size, drop_remainder=drop_remainder).map(unpack, tf.data.AUTOTUNE)
