"""The weight of each example in training, for each task: the schema's weight, and repetition ([Tencent] §6.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.data.schema.schema import Schema
from fullrank.layers.replicas import REPLICATED, own_rows, summed, whole_batch
from fullrank.models.objectives.exposure import exposure_weights, repetition_weights
from fullrank.models.objectives.losses import observed_weights
from fullrank.models.options import Repetition

if TYPE_CHECKING:
    from fullrank.models.heads.task_outputs import TaskOutputs


@keras.saving.register_keras_serializable(package="fullrank")
class RepetitionStatistics(keras.metrics.Metric):
    """Statistics of repeated exposures over all batches so far.

    The result is a dictionary of scalars:

    * `repeat_share`: share of the rows that repeat an exposure;
    * `repeat_weight`: mean w_rep of those rows; 1 if there are none;
    * `<task>_debias`: mean w_rep of the negatives of a binary task, by their other weights, which is w_debias of its
    positives over all rows; NaN without negatives.

    Args:
      tasks: Names of the binary tasks, in the order of the labels' columns.
      name: Name of the metric.
      dtype: Ignored except for serialisation; the state is float64.
    """

    def __init__(self, tasks: Sequence[str], *, name: str = "repetition", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tasks = tuple(tasks)
        self._rows = self.add_weight("rows", shape=(3,), dtype="float64", **REPLICATED)
        shape = (2, len(self._tasks))
        self._negatives = self.add_weight("negatives", shape=shape, dtype="float64", **REPLICATED)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, repetition: Any, repeated: Any, labels: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
          repetition: w_rep, `[B]`.
          repeated: Whether a row repeats an exposure, `[B]` bool.
          labels: `[B, T]` of the binary tasks; NaN where not observed.
          sample_weight: The other weights of the rows, `[B]`; ones if `None`.
        """
        own, again = (tf.cast(values, tf.float64) for values in (repetition, repeated))
        sums = [tf.reduce_sum(values) for values in (tf.ones_like(again), again, again * own)]
        self._rows.assign_add(summed(tf.stack(sums)))
        weights = tf.cast(tf.where(labels > 0.5, 0.0, observed_weights(labels, sample_weight)), tf.float64)
        of_negatives = [tf.reduce_sum(weights, axis=0), tf.reduce_sum(weights * own[:, tf.newaxis], axis=0)]
        self._negatives.assign_add(summed(tf.stack(of_negatives)))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> dict[str, Any]:
        """Returns the statistics of all rows so far, each a float64 scalar."""
        rows, repeats, weight = tf.unstack(self._rows, num=3)
        debias = tf.unstack(self._negatives[1] / self._negatives[0], num=len(self._tasks))
        one = tf.ones_like(weight)
        return {
            "repeat_share": tf.math.divide_no_nan(repeats, rows),
            "repeat_weight": tf.where(repeats > 0, tf.math.divide_no_nan(weight, repeats), one),
            **{f"{task}_debias": value for task, value in zip(self._tasks, debias, strict=True)},
        }

    def reset_state(self) -> None:
        """Forgets all rows."""
        for variable in (self._rows, self._negatives):
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "tasks": self._tasks}


class SampleWeights(keras.layers.Layer):
    """The weights of a batch in the loss; of the metrics, only its own uses them.

    Without repetition they are those of the schema. With it, the binary tasks have weights of their own: negatives
    count w_rep times, positives w_debias times, so that the weighted share of positives does not change in any batch or
    task. A task with a real value has no negatives and keeps the schema's weight.

    Call arguments:
      batch: Columns by name.
      labels: `[B, T]`; NaN where not observed.

    Returns:
      `None` for ones, `[B]`, or `[B, T]`; 0 where not observed.

    Args:
      schema: The schema, which names the weight column.
      outputs: The T tasks.
      repetition: `None` for the schema's weight alone.

    Raises:
      ValueError: If a column of `repetition` is not a float column of the records.
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
        weights = own_rows({"": self._of_batch(*whole_batch((labels, repetition, given)))}, of_worker=False)[""]
        binary = np.flatnonzero(self._is_binary)
        of_binary = tf.gather(labels, binary, axis=1)
        self.statistics.update_state(repetition, count > 0.0, of_binary, sample_weight=given)
        return weights

    def _of_batch(self, labels: tf.Tensor, repetition: tf.Tensor, given: tf.Tensor | None) -> tf.Tensor:
        weights = exposure_weights(labels=labels, repetition=repetition, weights=given)
        if self._is_binary.all():
            return weights
        plain = exposure_weights(labels=labels, repetition=tf.ones_like(repetition), weights=given)
        return tf.where(self._is_binary, weights, plain)


def of_tasks(weights: tf.Tensor | None, take: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor | None:
    """The weights of some of the tasks: `take` of `[B, T]`; weights common to all tasks, `[B]`, are unchanged."""
    return weights if weights is None or weights.shape.rank == 1 else take(weights)


def _check_columns(schema: Schema, repetition: Repetition) -> None:
    floats: dict[str, Any] = {c.name: c for c in schema.columns if c.dtype == "float32" and c.form == "one"}
    for name in (repetition.count, repetition.gap_days):
        if name not in floats:
            raise ValueError(
                f"The repetition weight needs the column {name!r}, which data set {schema.name!r} does not have: write "
                "the records with convert --exposures=user:ad, or name other columns by --repetition_columns."
            )
