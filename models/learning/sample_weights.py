"""How much each example counts in training, for each task: the schema's weight, and repetition ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema import Schema
from fullrank.models.objectives.exposure import Recency, exposure_weights, repetition_weights
from fullrank.models.repetition_statistics import RepetitionStatistics

if TYPE_CHECKING:
    from fullrank.models.heads.task_outputs import TaskOutputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition:
    """The repetitive exposure weight, as `repetition_weights` computes it.

    Attributes:
      count: Column of the decayed number of earlier exposures; missing or 0 for a first one.
      gap_days: Column of the days since the last one.
      alpha: Share of the count in w_rep.
      tau_days: Days after which recency has fallen to 1/e.
      recency: `decay`, or `gap` as printed in the paper.
    """

    count: str = "repeat_count"
    gap_days: str = "repeat_gap_days"
    alpha: float = 0.5
    tau_days: float = 1.0
    recency: Recency = "decay"


class SampleWeights(keras.layers.Layer):
    """The weights of a batch in the loss; they never reach a metric but its own.

    Without repetition they are those of the schema. With it, the binary tasks have weights of their own: negatives
    count w_rep times, positives w_debias times, so that the weighted share of positives stays what it was in every
    batch and for every task. A task with a real value has no negatives and keeps the schema's weight.

    Call arguments:
      batch: Columns by name.
      labels: `[B, T]`; NaN where not observed.

    Returns:
      `None` for ones, `[B]`, or `[B, T]`; 0 where not observed.

    Args:
      schema: Says which column is the weight.
      outputs: The T tasks.
      repetition: `None` for the schema's weight alone.

    Raises:
      ValueError: If a column of `repetition` is no float column of the records.
    """

    def __init__(
        self, schema: Schema, outputs: TaskOutputs, *, repetition: Repetition | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self._weight, self._repetition = schema.weight, repetition
        self._is_binary = np.array([place in outputs.binary for place in range(len(outputs.tasks))])
        self.statistics: RepetitionStatistics | None = None
        if repetition is not None:
            _check_columns(schema, repetition)
            self.statistics = RepetitionStatistics(tuple(outputs.tasks[place] for place in outputs.binary))

    def call(self, batch: Mapping[str, tf.Tensor], labels: tf.Tensor) -> tf.Tensor | None:
        """Returns the weights."""
        given = None if self._weight is None else batch[self._weight]
        wanted = self._repetition
        if wanted is None or self.statistics is None:
            return given
        count = batch[wanted.count]
        repetition = repetition_weights(
            count=count,
            gap_days=batch[wanted.gap_days],
            alpha=wanted.alpha,
            tau_days=wanted.tau_days,
            recency=wanted.recency,
        )
        weights = exposure_weights(labels=labels, repetition=repetition, weights=given)
        if not self._is_binary.all():
            plain = exposure_weights(labels=labels, repetition=tf.ones_like(repetition), weights=given)
            weights = tf.where(self._is_binary, weights, plain)
        binary = np.flatnonzero(self._is_binary)
        of_binary = tf.gather(labels, binary, axis=1)
        self.statistics.update_state(repetition, count > 0.0, of_binary, sample_weight=given)
        return weights


def of_tasks(weights: tf.Tensor | None, take: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor | None:
    """The weights of some of the tasks: `take` of `[B, T]`; weights of all tasks alike, `[B]`, as they are."""
    return weights if weights is None or weights.shape.rank == 1 else take(weights)


def _check_columns(schema: Schema, repetition: Repetition) -> None:
    floats: dict[str, Any] = {c.name: c for c in schema.columns if c.dtype == "float32" and c.form == "one"}
    for name in (repetition.count, repetition.gap_days):
        if name not in floats:
            raise ValueError(
                f"The repetition weight needs the column {name!r}, which data set {schema.name!r} does not have: write "
                "the records with convert --exposures=user:ad, or name other columns by --repetition_columns."
            )
