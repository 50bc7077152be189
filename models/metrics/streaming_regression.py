"""The training metric of a regression task."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.metrics.regression_formulas import STATISTICS, TOTALS, regression_rows, regression_statistics
from fullrank.models.metrics.row_tensors import row_tensors
from fullrank.models.metrics.tensorflow_ops import TENSORFLOW


@keras.saving.register_keras_serializable(package="fullrank")
class StreamingRegression(keras.metrics.Metric):
    """RMSE, MAE and bias of a regression task, from one pass over the rows.

    Names, masking and merging are those of `StreamingBinary`; the result has `rmse`, `mae`, `bias`, `mean_label` and
    `mean_prediction`, see `regression_formulas`.

    Args:
        name: name of the metric, by custom that of the task.
        prefix: put before each key of the result; default the name and an underscore.
        dtype: ignored but for serialisation; the state is float64.
    """

    def __init__(self, name: str = "regression", *, prefix: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._prefix = f"{name}_" if prefix is None else prefix
        self._totals = self.add_weight("totals", shape=(TOTALS,), dtype="float64", initializer="zeros")

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the result."""
        return tuple(self._prefix + statistic for statistic in STATISTICS)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
            y_true: labels `[B]` or `[B, 1]`; NaN where not observed.
            y_pred: predictions, as many.
            sample_weight: weights, as many, or a scalar; default 1. A weight of 0 leaves the row out.

        Raises:
            ValueError: if the numbers of rows are known and differ.
        """
        labels, predictions, weights = row_tensors(y_true, y_pred, sample_weight)
        rows = regression_rows(labels=labels, predictions=predictions, weights=weights, ops=TENSORFLOW)
        self._totals.assign_add(tf.reduce_sum(tf.stack(rows), axis=1))

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
