"""The splits that a run is trained and validated on; bad records are left out if allowed, or reported."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import tensorflow as tf

from fullrank.data.reading.bad_records import diagnose, explain
from fullrank.data.reading.pipeline import INPUT_ERRORS
from fullrank.data.reading.read import read_records, read_share
from fullrank.data.records.bad_data import BadDataError
from fullrank.data.schema.schema import Schema
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig

_BATCH_SIZES: Final = (2048, 1024, 512, 256, 128)
_STEPS: Final = 128

Histories = Literal["per_row", "per_request"]


class ReadingConfig(Protocol):
    """The part of a configuration that sets the batch size and the treatment of bad records."""

    @property
    def batch_size(self) -> int | None:
        """Examples of a batch; `None` for the largest of the default sizes."""

    @property
    def on_bad_record(self) -> Any:
        """`fail` or `skip`."""

    @property
    def max_bad_fraction(self) -> float:
        """Largest share that may be skipped."""


def read_split(
    config: ReadingConfig, schema: Schema, *, split: str, cache: Path | None, **order: Any
) -> tf.data.Dataset:
    """Batches of a split.

    Args:
      config: Batch size, and how to treat bad records.
      schema: Schema of the records.
      split: Name of the split.
      cache: Where repaired copies of bad files are kept; `None` if bad records are not left out.
      **order: `seed`, `epochs`, `deterministic`, `worker`, `workers` and `histories` of `read_records`, which rejects
        any other.
    """
    skips = config.on_bad_record == "skip"
    return read_records(
        schema,
        split=split,
        batch_size=batch_size_of(config),
        on_bad_record=config.on_bad_record,
        max_bad_fraction=config.max_bad_fraction,
        cache_directory=cache if skips else None,
        **order,
    )


def batch_size_of(config: ReadingConfig) -> int:
    """Examples of a batch."""
    return config.batch_size or _BATCH_SIZES[0]


def sized(config: RunConfig, schema: Schema) -> RunConfig:
    """The configuration with a batch size: the largest default that makes enough steps an epoch, if it names none.

    A model learns by steps. In a few dozen steps an epoch, tasks that differ in difficulty are past their best at
    different epochs, and no epoch is good for all.

    Args:
      config: As given.
      schema: Schema of the records.
    """
    if config.data.batch_size is not None:
        return config
    examples = schema.split(config.data.train_split).examples
    size = next((size for size in _BATCH_SIZES if examples >= _STEPS * size), _BATCH_SIZES[-1])
    return dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=size))


@contextlib.contextmanager
def explained(schema: Schema, *, splits: Sequence[str]) -> Iterator[None]:
    """Turns an error of the input pipeline into one that names file, record and feature.

    Args:
      schema: Schema of the records.
      splits: Splits that may be read within the context.

    Raises:
      BadDataError: Instead of an error that does not name the record.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        # Memory or disk is full; reading everything again would only show that the records are good.
        raise
    except INPUT_ERRORS as error:
        print("A record cannot be read; looking for it ...", file=sys.stderr, flush=True)
        for split in splits:
            found = diagnose(schema, split=split)
            if found is not None:
                raise BadDataError(f"{found} Leave bad records out with --on_bad_record=skip.") from error
        raise explain(error, schema=schema, split=splits[0]) from error


class TrainedConfig(Protocol):
    """The configuration of any kind of training."""

    @property
    def data(self) -> DataConfig:
        """Which records."""

    @property
    def train(self) -> TrainConfig:
        """How long."""


def steps_per_epoch(config: TrainedConfig, schema: Schema) -> int:
    """Steps of a pass over the training split, to the nearest whole one, unless the configuration says otherwise.

    Batches continue past the end of a pass, so that every batch is full.

    Raises:
      ValueError: If the split is empty.
    """
    examples = schema.split(config.data.train_split).examples
    if not examples:
        raise ValueError(f"The split {config.data.train_split!r} of {config.data.data} is empty.")
    return config.train.steps_per_epoch or max(1, round(examples / batch_size_of(config.data)))


def check_splits(config: DataConfig, schema: Schema) -> None:
    """Rejects splits that the data does not have.

    Raises:
      ValueError: If one is missing.
    """
    schema.split(config.train_split)
    known = [split.name for split in schema.splits]
    if config.validation_split and config.validation_split not in known:
        raise ValueError(
            f"{config.data} has no split {config.validation_split!r} to validate on. Splits: {', '.join(known)}. Name "
            "one by --validation_split, or give --validation_split= to train without validation."
        )


def training_batches(
    config: RunConfig,
    schema: Schema,
    *,
    cache: Path,
    worker: int = 0,
    workers: int = 1,
    histories: Histories = "per_row",
) -> tf.data.Dataset:
    """Endless batches of the training split; of several workers, each reads its share of them from its own files.

    `histories` is that of `read_records`.
    """
    seed = config.train.seed if config.data.shuffle else None
    return read_split(
        dataclasses.replace(config.data, batch_size=batch_size_of(config.data) // workers),
        schema,
        split=config.data.train_split,
        worker=worker,
        workers=workers,
        cache=cache,
        seed=seed,
        epochs=None,
        deterministic=config.train.deterministic,
        histories=histories,
    )


def batches_of_readers(config: RunConfig, schema: Schema, *, readers: int) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """The training split for several readers: number of an iterator -> its endless batches, see `read_share`."""
    return read_share(
        schema,
        split=config.data.train_split,
        batch_size=batch_size_of(config.data),
        readers=readers,
        seed=config.train.seed if config.data.shuffle else None,
    )


def validation_batches(
    config: DataConfig, schema: Schema, *, cache: Path, histories: Histories = "per_row"
) -> tf.data.Dataset | None:
    """The validation split once, in order; `None` without validation. `histories` is that of `read_records`."""
    if not config.validation_split:
        return None
    return read_split(config, schema, split=config.validation_split, cache=cache, histories=histories)


def batches_of_split(config: DataConfig, schema: Schema, *, split: str, batches: tf.data.Dataset) -> int:
    """How many batches one pass over a split has.

    Args:
      config: Batch size, and how to treat bad records.
      schema: Schema of the records.
      split: Name of the split.
      batches: What `read_split` gives for it, which is counted where bad records are left out.
    """
    if config.on_bad_record == "skip":
        return int(batches.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1))
    return math.ceil(schema.split(split).examples / batch_size_of(config))
