"""The inputs of an objective in addition to predictions and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import tensorflow as tf

Teacher = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""Batch -> `{task: probability [B]}`, NaN where there is none."""

PSEUDO: Final = "pseudo"
NEGATIVE: Final = "negative"
POSITIVE: Final = "positive"
LEVEL: Final = "level"


class ObjectiveInputs(NamedTuple):
    """Inputs of `Objective` in addition to predictions and labels, for the T binary tasks of a model.

    Attributes:
      heads: Part -> logits `[B, T]` of `TrainingHeads`: f_pseudo, f_0 and f_1 with a teacher, `level` with JRC.
      teacher: Its probabilities, `[B, T]`; NaN where it has none.
      keys: `[B]`; examples of equal key form the lists and pairs of a ranking loss; `None` for the whole batch.
      seed: Two integers that differ between steps; `None` draws them from TensorFlow's global generator.
    """

    heads: Mapping[str, tf.Tensor]
    teacher: tf.Tensor | None = None
    keys: tf.Tensor | None = None
    seed: tf.Tensor | None = None


def predictions_of(teacher: Teacher, batch: Mapping[str, tf.Tensor], *, tasks: tuple[str, ...]) -> tf.Tensor:
    """The teacher's predictions of each task, `[B, T]`, without gradient; NaN for tasks that it does not predict.

    Raises:
      ValueError: If it predicts none of them.
    """
    known = teacher(batch)
    if not set(tasks) & set(known):
        raise ValueError(f"The teacher predicts {', '.join(known)}, but none of the tasks {', '.join(tasks)}.")
    none = tf.fill(tf.shape(next(iter(known.values()))), float("nan"))
    columns = [tf.cast(known[task], tf.float32) if task in known else none for task in tasks]
    return tf.stop_gradient(tf.stack(columns, axis=1))
