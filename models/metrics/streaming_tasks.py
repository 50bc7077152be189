"""The training metric of all binary tasks of a model at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.replicas import REPLICATED, summed
from fullrank.models.metrics.binary_formulas import STATISTICS, TOTALS, binary_rows, binary_statistics
from fullrank.models.metrics.logit_grid import CLIP, LogitGrid
from fullrank.models.metrics.tensorflow_ops import TENSORFLOW


class BinnedRows(NamedTuple):
    """The rows of a task, grouped by the bin of their logit.

    Attributes:
      labels: `[k]`, mean labels of the bins that hold rows, in order of the logit.
      logits: `[k]`, logits of the mean predictions; exact where a bin holds one row, and the prediction is not within
        1e-7 of 0 or 1.
      weights: `[k]`, sums of the rows' weights.
      rows: Number of rows; of weighted ones, that of as many rows of one weight: (sum w)^2 / sum w^2.
      saturated: Share of the weight whose prediction is within 1e-7 of 0 or 1, so that its logit is not known.
    """

    labels: npt.NDArray[np.float64]
    logits: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    rows: float
    saturated: float


@keras.saving.register_keras_serializable(package="fullrank")
class StreamingTasks(keras.metrics.Metric):
    """Reports what one `StreamingBinary` per task would, in one pass and one graph for all tasks.

    The result is a dictionary of scalars, each statistic of `StreamingBinary` after its task and an underscore:
    `click_auc`, `click_log_loss`, ..., `buy_auc`, ...

    Args:
        tasks: Names of the tasks, in the order of the predictions' columns.
        name: Name of the metric.
        bins: Number of histogram bins of each task; see `StreamingBinary`.
        dtype: Ignored except for serialisation; the state is float64.

    Example:
        >>> metric = StreamingTasks(("click", "buy"))
        >>> metric.update_state([[0.0, 1.0], [1.0, 0.0]], [[0.1, 0.4], [0.35, 0.8]])
        >>> float(metric.result()["click_auc"])
        1.0
    """

    def __init__(self, tasks: Sequence[str], *, name: str = "tasks", bins: int = 2**12, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tasks = tuple(tasks)
        self._grid = LogitGrid(bins=bins)
        shape = (len(self._tasks), 3, bins)
        self._histogram = self.add_weight("histogram", shape=shape, dtype="float64", **REPLICATED)
        self._totals = self.add_weight("totals", shape=(shape[0], TOTALS), dtype="float64", **REPLICATED)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the result."""
        return tuple(f"{task}_{statistic}" for task in self._tasks for statistic in STATISTICS)

    @tf.autograph.experimental.do_not_convert
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds rows.

        Args:
            y_true: Labels `[B, T]` in [0, 1]; NaN where not observed.
            y_pred: Probabilities `[B, T]`.
            sample_weight: Weights `[B]`; default 1. A weight of 0 leaves the row out.
        """
        labels, scores = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        # Labels of many tasks are mostly unobserved: rows that would add exact zeros are dropped before they cost
        # anything.
        places = tf.where(tf.logical_not(tf.math.is_nan(labels)))
        labels, scores = (tf.cast(tf.gather_nd(each, places), tf.float64) for each in (labels, scores))
        weights = tf.ones_like(labels)
        if sample_weight is not None:
            weights *= tf.gather(tf.cast(sample_weight, tf.float64), places[:, 0])
        rows = binary_rows(
            labels=labels, scores=scores, weights=weights, from_logits=False, grid=self._grid, ops=TENSORFLOW
        )
        bins, tasks, task = self._grid.bins, len(self._tasks), places[:, 1]
        # Each task's three columns are adjacent; a negative bin is dropped in any of them.
        first = rows.bin + task * (3 * bins)
        slots = tf.concat([tf.where(rows.bin < 0, rows.bin, first + column * bins) for column in range(3)], axis=0)
        sums = tf.math.unsorted_segment_sum(tf.concat(rows.columns, axis=0), slots, tasks * 3 * bins)
        self._histogram.assign_add(summed(tf.reshape(sums, [tasks, 3, bins])))
        self._totals.assign_add(summed(tf.math.unsorted_segment_sum(tf.stack(rows.totals, axis=1), task, tasks)))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> dict[str, Any]:
        """Returns the statistics of all rows so far, each a float64 scalar."""
        found = _of_all(tf.convert_to_tensor(self._histogram), tf.convert_to_tensor(self._totals))
        flat = tf.unstack(tf.reshape(found, [-1]), num=len(self.keys))
        return dict(zip(self.keys, flat, strict=True))

    def binned(self, task: str) -> BinnedRows:
        """Returns all rows of a task so far, outside of a graph."""
        place = self._tasks.index(task)
        histogram, totals = (tf.convert_to_tensor(each)[place].numpy() for each in (self._histogram, self._totals))
        positives, negatives, predicted = histogram[:, histogram[:2].sum(axis=0) > 0.0]
        weights = positives + negatives
        means = np.clip(predicted / weights, CLIP, 1.0 - CLIP)
        logits = np.log(means) - np.log1p(-means)
        total, extreme = weights.sum(), (means <= CLIP) | (means >= 1.0 - CLIP)
        rows, saturated = (total**2 / totals[2], weights[extreme].sum() / total) if len(weights) else (0.0, 0.0)
        return BinnedRows(positives / weights, logits, weights, rows=float(rows), saturated=float(saturated))

    def reset_state(self) -> None:
        """Forgets all rows."""
        for variable in (self._histogram, self._totals):
            variable.assign(tf.zeros_like(variable))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "tasks": self._tasks, "bins": self._grid.bins}


# A `tf.function`, because Keras asks for the result outside a graph at the end of every pass, and vectorising the
# formulas again would take a tenth of a second.
@tf.function(autograph=False)
def _of_all(histograms: Any, totals: Any) -> Any:
    return tf.vectorized_map(lambda sums: tf.stack(list(_statistics(*sums).values())), (histograms, totals))


def _statistics(histogram: Any, totals: Any) -> dict[str, Any]:
    return binary_statistics(histogram=histogram, totals=totals, ops=TENSORFLOW)
