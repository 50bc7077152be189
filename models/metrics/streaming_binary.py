"""The training metric of a binary task."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.replicas import REPLICATED, summed
from fullrank.models.metrics.binary_formulas import STATISTICS, TOTALS, binary_rows, binary_statistics
from fullrank.models.metrics.logit_grid import LogitGrid
from fullrank.models.metrics.tensorflow_ops import TENSORFLOW, row_tensors


@keras.saving.register_keras_serializable(package="fullrank")
class StreamingBinary(keras.metrics.Metric):
    """AUC, log loss, normalised entropy, calibration error and bias of a binary task, from one pass over the rows.

    The state is a histogram over the logit and four sums (see `binary_formulas`), in float64, so that counts keep
    growing beyond 2**24; workers' states can be added. `result` is a dictionary of scalars: `auc`, `log_loss`, `ne`,
    `ece`, `bias`, `base_rate` and `mean_prediction`, each after the prefix; NaN where a statistic is undefined, such as
    the AUC of rows of one class. GAUC needs the rows of each key together: `BinaryEvaluator` computes it.

    Keras merges the entries of all such dictionaries in its logs, hence the prefix. A `train_step` that
    returns `{metric.name: metric.result()}`, as that of TensorFlow Recommenders does, nests them instead, which Keras
    cannot log: return `self.get_metrics_result()` and the losses. Keras's progress bar averages over steps every entry
    that is not named like a metric; pass the names: `ProgbarLogger(stateful_metrics=metric.keys)`.

    Args:
        name: Name of the metric, usually that of the task.
        prefix: Prefix of each key of the result; default the name and an underscore, `"click_"`.
        from_logits: Whether predictions are logits; default probabilities.
        bins: Number of histogram bins; default a quarter of the evaluator's, because Keras asks for the result at every
            step. Over thousands of rows whose logits spread by 0.5 or more the AUC is within 1e-4 of the exact one.
        dtype: Ignored except for serialisation; the state is float64.

    Example:
        >>> metric = StreamingBinary(name="click")
        >>> metric.update_state([0.0, 0.0, 1.0, 1.0], [0.1, 0.4, 0.35, 0.8])
        >>> float(metric.result()["click_auc"])
        0.75
    """

    def __init__(
        self,
        name: str = "binary",
        *,
        prefix: str | None = None,
        from_logits: bool = False,
        bins: int = 2**12,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._prefix = f"{name}_" if prefix is None else prefix
        self._from_logits = from_logits
        self._grid = LogitGrid(bins=bins)
        self._histogram = self.add_weight("histogram", shape=(3, bins), dtype="float64", **REPLICATED)
        self._totals = self.add_weight("totals", shape=(TOTALS,), dtype="float64", **REPLICATED)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the result."""
        return tuple(self._prefix + statistic for statistic in STATISTICS)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
            y_true: Labels `[B]` or `[B, 1]` in [0, 1]; NaN where not observed.
            y_pred: Probabilities, or logits, of the same shape.
            sample_weight: Weights, of the same shape, or a scalar; default 1. A weight of 0 leaves the row out.

        Raises:
            ValueError: If the numbers of rows are known and differ.
        """
        labels, scores, weights = row_tensors(y_true, y_pred, sample_weight)
        rows = binary_rows(
            labels=labels,
            scores=scores,
            weights=weights,
            from_logits=self._from_logits,
            grid=self._grid,
            ops=TENSORFLOW,
        )
        bins = self._grid.bins
        # One sum over 3 B numbers; a negative bin is dropped in any column.
        places = tf.concat([tf.where(rows.bin < 0, rows.bin, rows.bin + column * bins) for column in range(3)], axis=0)
        sums = tf.math.unsorted_segment_sum(tf.concat(rows.columns, axis=0), places, 3 * bins)
        self._histogram.assign_add(summed(tf.reshape(sums, [3, bins])))
        self._totals.assign_add(summed(tf.reduce_sum(tf.stack(rows.totals), axis=1)))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> dict[str, Any]:
        """Returns the statistics of all rows so far, each a float64 scalar."""
        return {self._prefix + key: value for key, value in self.statistics().items()}

    def statistics(self) -> dict[str, Any]:
        """Returns `result` without the prefix."""
        return binary_statistics(
            histogram=tf.convert_to_tensor(self._histogram), totals=tf.convert_to_tensor(self._totals), ops=TENSORFLOW
        )

    def reset_state(self) -> None:
        """Forgets all rows."""
        for variable in (self._histogram, self._totals):
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "prefix": self._prefix,
            "from_logits": self._from_logits,
            "bins": self._grid.bins,
        }
