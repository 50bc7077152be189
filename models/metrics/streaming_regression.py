"""The training metrics of value tasks: of one task, and of all tasks of a model at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.replicas import REPLICATED, summed
from fullrank.models.metrics.regression_evaluator import STATISTICS, TOTALS, regression_rows, regression_statistics
from fullrank.models.metrics.tensorflow_ops import TENSORFLOW, row_tensors


@keras.saving.register_keras_serializable(package="fullrank")
class StreamingRegression(keras.metrics.Metric):
    """RMSE, MAE and bias of a regression task, from one pass over the rows.

    Names, masking and merging are those of `StreamingBinary`; the result has `rmse`, `mae`, `bias`, `mean_label` and
    `mean_prediction`, see `regression_evaluator`.

    Args:
        name: Name of the metric, usually that of the task.
        prefix: Prefix of each key of the result; default the name and an underscore.
        dtype: Ignored except for serialisation; the state is float64.
    """

    def __init__(self, name: str = "regression", *, prefix: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._prefix = f"{name}_" if prefix is None else prefix
        self._totals = self.add_weight("totals", shape=(TOTALS,), dtype="float64", **REPLICATED)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the result."""
        return tuple(self._prefix + statistic for statistic in STATISTICS)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
            y_true: Labels `[B]` or `[B, 1]`; NaN where not observed.
            y_pred: Predictions, of the same shape.
            sample_weight: Weights, of the same shape, or a scalar; default 1. A weight of 0 leaves the row out.

        Raises:
            ValueError: If the numbers of rows are known and differ.
        """
        labels, predictions, weights = row_tensors(y_true, y_pred, sample_weight)
        rows = regression_rows(labels=labels, predictions=predictions, weights=weights, ops=TENSORFLOW)
        self._totals.assign_add(summed(tf.reduce_sum(tf.stack(rows), axis=1)))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> dict[str, Any]:
        """Returns the statistics of all rows so far, each a float64 scalar."""
        return {self._prefix + key: value for key, value in self.statistics().items()}

    def statistics(self) -> dict[str, Any]:
        """Returns `result` without the prefix."""
        return regression_statistics(totals=tf.convert_to_tensor(self._totals), ops=TENSORFLOW)

    def reset_state(self) -> None:
        """Forgets all rows."""
        self._totals.assign(tf.zeros_like(self._totals))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "prefix": self._prefix}


@keras.saving.register_keras_serializable(package="fullrank")
class StreamingValues(keras.metrics.Metric):
    """Reports what one `StreamingRegression` per task would, in one pass over all tasks.

    The result is a dictionary of scalars, each statistic of `StreamingRegression` after its task and an underscore:
    `spend_rmse`, `spend_mae`, ...

    Args:
        tasks: Names of the tasks, in the order of the predictions' columns.
        name: Name of the metric.
        dtype: Ignored except for serialisation; the state is float64.
    """

    def __init__(self, tasks: Sequence[str], *, name: str = "values", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tasks = tuple(tasks)
        shape = (TOTALS, len(self._tasks))
        self._totals = self.add_weight("totals", shape=shape, dtype="float64", **REPLICATED)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the result."""
        return tuple(f"{task}_{statistic}" for task in self._tasks for statistic in STATISTICS)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
            y_true: Labels `[B, V]`; NaN where not observed.
            y_pred: Predictions `[B, V]`.
            sample_weight: Weights `[B]`; default 1. A weight of 0 leaves the row out.
        """
        labels, predictions = (tf.cast(values, tf.float64) for values in (y_true, y_pred))
        weights = tf.ones_like(labels)
        if sample_weight is not None:
            weights *= tf.cast(sample_weight, tf.float64)[:, tf.newaxis]
        rows = regression_rows(labels=labels, predictions=predictions, weights=weights, ops=TENSORFLOW)
        self._totals.assign_add(summed(tf.reduce_sum(tf.stack(rows), axis=1)))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> dict[str, Any]:
        """Returns the statistics of all rows so far, each a float64 scalar."""
        found = regression_statistics(totals=tf.convert_to_tensor(self._totals), ops=TENSORFLOW)
        by_task = {statistic: tf.unstack(values, num=len(self._tasks)) for statistic, values in found.items()}
        return {f"{t}_{s}": by_task[s][n] for n, t in enumerate(self._tasks) for s in STATISTICS}

    def reset_state(self) -> None:
        """Forgets all rows."""
        self._totals.assign(tf.zeros_like(self._totals))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "tasks": self._tasks}
