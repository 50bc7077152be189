"""The splits that a run is trained and validated on."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.data import DataConfig
from fullrank.trainers.training.records import read_split


def steps_per_epoch(config: RunConfig, schema: Schema) -> int:
    """Steps of a pass over the training split, to the nearest whole one, unless the configuration says otherwise.

    Batches go on over the end of a pass, so that every batch is full.

    Raises:
      ValueError: If the split is empty.
    """
    examples = schema.split(config.data.train_split).examples
    if not examples:
        raise ValueError(f"The split {config.data.train_split!r} of {config.data.data} is empty.")
    return config.train.steps_per_epoch or max(1, round(examples / config.data.batch_size))


def check_splits(config: DataConfig, schema: Schema) -> None:
    """Refuses splits that the data does not have.

    Raises:
      ValueError: If one is not there.
    """
    schema.split(config.train_split)
    known = [split.name for split in schema.splits]
    if config.validation_split and config.validation_split not in known:
        raise ValueError(
            f"{config.data} has no split {config.validation_split!r} to validate on. Splits: {', '.join(known)}. Name "
            "one by --validation_split, or give --validation_split= to train without validation."
        )


def training_batches(config: RunConfig, schema: Schema, *, cache: Path) -> tf.data.Dataset:
    """Endless batches of the training split."""
    seed = config.train.seed if config.data.shuffle else None
    return read_split(
        config.data,
        schema,
        split=config.data.train_split,
        cache=cache,
        seed=seed,
        epochs=None,
        deterministic=config.train.deterministic,
    )


def validation_batches(config: DataConfig, schema: Schema, *, cache: Path) -> tf.data.Dataset | None:
    """The validation split once, in order; `None` without validation."""
    return read_split(config, schema, split=config.validation_split, cache=cache) if config.validation_split else None
