"""The time that the objectives of the papers add to a training step.

A DCN V2: 26 fields of width 16 in an `EmbeddingSet` of 260 k rows, three cross layers parallel to an MLP 400-400-400,
batches of 4,096, lazy Adagrad on tables and Adam on the rest. The reference is this model with cross entropy alone.

* Ranking: `classification_and_ranking` over the whole batch, at 1 % positives (all 41 x 4,055 pairs) and at 50 %, where
  it draws 2^18 pairs out of 4.2 M; within keys of eight examples at 50 %.
* Group structure learning: 3 levels of 256 codes of width 32 behind the MLP's output, reconstruction and commitment in
  the loss, codebooks looked after, and the head reading the groups.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras as keras
import tqdm

import report
from fullrank.layers import (
    CrossNetV2,
    EmbeddingSet,
    Field,
    FlatDNN,
    GroupStructureLearning,
    LookupPlan,
    Lookups,
    Table,
)
from fullrank.models.objectives import classification_and_ranking
from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.models.optimizers import OptimizerSpec, build_optimizer

FIELDS: Final = 26
WIDTH: Final = 16
ROWS: Final = 10_000
BATCH: Final = 4096
LEVELS: Final = 3
CODES: Final = 256
CODE_WIDTH: Final = 32
STEPS_A_CALL: Final = 5

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def entropy(labels: tf.Tensor, logits: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Cross entropy alone."""
    return binary_cross_entropy(labels=labels, logits=logits)


def ranking(labels: tf.Tensor, logits: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """With the ranking loss over the batch."""
    return classification_and_ranking(labels=labels, logits=logits, ranking_weight=0.1)


def ranking_in_keys(labels: tf.Tensor, logits: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """With the ranking loss within keys."""
    return classification_and_ranking(labels=labels, logits=logits, ranking_weight=0.1, keys=keys)


class Network(keras.Model):
    """The DCN V2 that everything is added to."""

    def __init__(self, *, grouped: bool) -> None:
        super().__init__()
        plan = LookupPlan.ordered(
            tables=tuple(Table(name=f"table_{f}", rows=ROWS) for f in range(FIELDS)),
            fields=tuple(Field(name=f"field_{f}", table=f"table_{f}") for f in range(FIELDS)),
        )
        self.embeddings = EmbeddingSet(plan, WIDTH, seed=1)
        self.cross = CrossNetV2(3)
        self.deep = FlatDNN((400, 400, 400))
        self.groups = GroupStructureLearning(LEVELS, CODES, CODE_WIDTH, seed=1) if grouped else None
        self.head = keras.layers.Dense(1)

    def call(self, ids: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits `[B]` and what the groups add to the loss."""
        fields = self.embeddings(Lookups(rows=ids, weights=tf.zeros([BATCH, 0]), sequences={}))
        deep, extra = self.deep(fields), tf.constant(0.0)
        if self.groups is not None:
            found = self.groups(deep, training=training)
            deep, extra = found.output, tf.reduce_mean(found.loss)
        return self.head(tf.concat([self.cross(fields), deep], axis=1))[:, 0], extra


def training(loss: Loss, *, rate: float, grouped: bool = False) -> Callable[[], float]:
    """Builds a model; returns a function that runs `STEPS_A_CALL` steps."""
    generator = np.random.default_rng(7)
    batches = [tf.constant(generator.integers(0, ROWS, (BATCH, FIELDS))) for _ in range(8)]
    labels = tf.constant(generator.permutation(BATCH) < rate * BATCH, tf.float32)
    keys = tf.constant(generator.integers(0, BATCH // 8, BATCH))
    network = Network(grouped=grouped)
    network(batches[0])
    variables = network.trainable_variables
    optimizer = build_optimizer(
        tables=network.embeddings.trainable_variables,
        table_optimizer=OptimizerSpec("lazy_adagrad", 0.01),
        dense_optimizer=OptimizerSpec("adam", 1e-3),
    )

    @tf.function
    def step(ids: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, extra = network(ids, training=True)
            total = loss(labels, logits, keys) + extra
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        return total

    position = 0

    def run() -> float:
        nonlocal position
        for _ in range(STEPS_A_CALL):
            total = step(batches[position % len(batches)])
            position += 1
        return float(total)

    return run


def added(name: str, loss: Loss, rounds: int, *, rate: float, goal: str, grouped: bool = False) -> report.Row:
    """Step time with the objective over that without it."""
    timing = report.alternate(
        training(loss, rate=rate, grouped=grouped), training(entropy, rate=rate), rounds=rounds, warmup=2
    )
    return report.compare(
        name=f"{name} / cross entropy alone",
        ours=timing.ours.scaled(1e3 / STEPS_A_CALL),
        reference=timing.reference.scaled(1e3 / STEPS_A_CALL),
        unit="ms",
        goal=goal,
        ratio=timing.median_of_ratios,
    )


def main() -> None:
    options = report.arguments("What ranking loss and group structure learning add to a training step.")
    rounds = 1 if options.quick else 31
    measurements = (
        functools.partial(added, "ranking, 1 % positives", ranking, rounds, rate=0.01, goal="<= 1.15"),
        functools.partial(added, "ranking, 50 % positives, capped", ranking, rounds, rate=0.5, goal="<= 1.15"),
        functools.partial(added, "ranking within keys, 50 %", ranking_in_keys, rounds, rate=0.5, goal="<= 1.15"),
        functools.partial(
            added, f"groups, {LEVELS} x {CODES} codes", entropy, rounds, rate=0.01, goal="<= 1.2", grouped=True
        ),
    )
    chosen = measurements[::3] if options.quick else measurements
    rows = [measure() for measure in tqdm.tqdm(chosen, desc="objectives", mininterval=1)]
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
