"""What the repetitive exposure weight did to the examples of an epoch ([Tencent] §6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.objectives.losses import observed_weights


@keras.saving.register_keras_serializable(package="fullrank")
class RepetitionStatistics(keras.metrics.Metric):
    """Sums over all batches so far, and what follows from them.

    The result is a dictionary of scalars:

    * `repeat_share`: share of the rows that repeat an exposure;
    * `repeat_weight`: mean w_rep of those rows; 1 without any;
    * `<task>_debias`: mean w_rep of the negatives of a binary task, by the weights they have anyway, which is w_debias
      of its positives over all rows; NaN without negatives.

    Args:
      tasks: Names of the binary tasks, in the order of the labels' columns.
      name: Name of the metric.
      dtype: Ignored but for serialisation; the state is float64.
    """

    def __init__(self, tasks: Sequence[str], *, name: str = "repetition", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tasks = tuple(tasks)
        self._rows = self.add_weight("rows", shape=(3,), dtype="float64", initializer="zeros")
        shape = (2, len(self._tasks))
        self._negatives = self.add_weight("negatives", shape=shape, dtype="float64", initializer="zeros")

    @tf.autograph.experimental.do_not_convert
    def update_state(self, repetition: Any, repeated: Any, labels: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
          repetition: w_rep, `[B]`.
          repeated: Whether a row repeats an exposure, `[B]` bool.
          labels: `[B, T]` of the binary tasks; NaN where not observed.
          sample_weight: Weights that the rows have anyway, `[B]`; ones if `None`.
        """
        own, again = (tf.cast(values, tf.float64) for values in (repetition, repeated))
        sums = [tf.reduce_sum(values) for values in (tf.ones_like(again), again, again * own)]
        self._rows.assign_add(tf.stack(sums))
        weights = tf.cast(tf.where(labels > 0.5, 0.0, observed_weights(labels, sample_weight)), tf.float64)
        of_negatives = [tf.reduce_sum(weights, axis=0), tf.reduce_sum(weights * own[:, tf.newaxis], axis=0)]
        self._negatives.assign_add(tf.stack(of_negatives))

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
