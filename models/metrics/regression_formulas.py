"""Every formula of the regression metrics, once, for the training metric and for the evaluator.

The state is six sums over rows, `totals` `[6]`: rows, weight, and weighted label, prediction, squared error and
absolute error.
"""

from __future__ import annotations

from typing import Any

from fullrank.models.metrics.array_ops import ArrayOps
from fullrank.models.metrics.binary_formulas import ratio

TOTALS = 6
STATISTICS = ("rmse", "mae", "bias", "mean_label", "mean_prediction")


def regression_rows(*, labels: Any, predictions: Any, weights: Any, ops: ArrayOps) -> tuple[Any, ...]:
    """Returns what each row adds to the six sums, each `[B]`; rows without a label (NaN) or weight add zeros."""
    counts = ~ops.isnan(labels) & (weights > 0.0)
    y, p, w = (ops.where(counts, column, 0.0) for column in (labels, predictions, weights))
    error = p - y
    return ops.where(counts, 1.0, 0.0 * w), w, w * y, w * p, w * error * error, w * abs(error)


def regression_statistics(*, totals: Any, ops: ArrayOps) -> dict[str, Any]:
    """Computes the statistics named in `STATISTICS`; NaN where one is not defined.

    * rmse: root of the mean squared error. mae: mean absolute error.
    * bias: predicted over observed, sum p / sum y; not defined unless the labels' sum is positive.
    * mean_label, mean_prediction: weighted means.
    """
    quotients = {
        "rmse": (totals[4], totals[1]),
        "mae": (totals[5], totals[1]),
        "bias": (totals[3], totals[2]),
        "mean_label": (totals[2], totals[1]),
        "mean_prediction": (totals[3], totals[1]),
    }
    numerators, denominators = (ops.stack(parts) for parts in zip(*quotients.values(), strict=True))
    statistics = dict(zip(quotients, ops.unstack(ratio(numerators, denominators, ops=ops)), strict=True))
    return {**statistics, "rmse": statistics["rmse"] ** 0.5}
