"""The inputs of `--log_gradients`: one batch of the training split, and the losses to compare ([Tencent] §6.1)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.models.learning.binary_losses import BinaryLosses
from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.training.callbacks.measures import LogitLoss, NegativeGradients
from fullrank.trainers.training.records import explained, read_split

CROSS_ENTROPY: Final = "cross_entropy"
OBJECTIVE: Final = "objective"
EXAMPLES: Final = 8192
"""Rows of the batch, if the split has as many: at a base rate of .1 %, eight are positive."""


def gradient_log(model: Ranker, config: RunConfig, schema: Schema, *, cache: Path) -> NegativeGradients:
    """The callback for the model's first binary task.

    Its losses are `cross_entropy` and, if the run has another objective, `objective`: its classification and ranking
    loss, by its keys if it has some, always from the same pairs. Both leave out sample weights, the losses of a
    teacher, and the ranking part of JRC, which reads a second logit that only training has.

    Args:
      model: The built model.
      config: Configuration of the run.
      schema: Schema of its records.
      cache: Where repaired copies of bad files are kept.

    Raises:
      ValueError: If no task is binary.
    """
    if not model.outputs.binary:
        raise ValueError("--log_gradients needs a binary task, and all tasks of this model have real values.")
    task = model.wiring.tasks[model.outputs.binary[0]]
    batch = _first_examples(config, schema, cache=cache)
    batch[task] = model.outputs.rows.labels(batch)[:, model.outputs.binary[0]]
    losses: dict[str, LogitLoss] = {CROSS_ENTROPY: _cross_entropy}
    if config.objective.classification != "cross_entropy" or config.objective.ranking in ("pairwise", "listwise"):
        losses[OBJECTIVE] = _objective(model, config, schema, batch)
    return NegativeGradients(batch, task=task, losses=losses)


def _first_examples(config: RunConfig, schema: Schema, *, cache: Path) -> dict[str, tf.Tensor]:
    """Drawn from the whole split, and the same in a resumed run."""
    split = config.data.train_split
    reading = dataclasses.replace(config.data, batch_size=EXAMPLES)
    with explained(schema, splits=[split]):
        batches = read_split(reading, schema, split=split, cache=cache, seed=config.train.seed, deterministic=True)
        batch: dict[str, tf.Tensor] = next(iter(batches))
    return batch


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return binary_cross_entropy(labels=labels, logits=logits)


def _objective(model: Ranker, config: RunConfig, schema: Schema, batch: dict[str, tf.Tensor]) -> LogitLoss:
    labels = model.outputs.labels_among(schema.split(config.data.train_split).examples)
    binary = BinaryLosses(
        config.objective, base_rates=model.outputs.base_rates[:1], labels=labels[list(model.outputs.binary[:1])]
    )
    key = config.objective.ranking_key
    keys = batch[key] if key is not None else None
    seed = tf.constant([config.train.seed, 0], tf.int32)

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return binary(labels=labels[:, tf.newaxis], logits=logits[:, tf.newaxis], keys=keys, seed=seed)[0]

    return loss
