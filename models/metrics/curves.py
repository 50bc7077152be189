"""ROC curve and reliability table from a histogram over the logit."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.array_ops import NUMPY
from fullrank.models.metrics.binary_formulas import CALIBRATION_GROUPS, calibration_groups

Floats = npt.NDArray[np.float64]


class Roc(TypedDict):
    """Points of a ROC curve from (0, 0) to (1, 1), `[K]`."""

    false_positive_rate: Floats
    true_positive_rate: Floats


class Reliability(TypedDict):
    """Groups of equal weight in order of score, `[G]`; `examples` is a group's effective number of examples."""

    mean_prediction: Floats
    observed_rate: Floats
    examples: Floats


def roc(*, histogram: Floats, max_points: int = 1000) -> Roc:
    """Returns the curve through every occupied bin, thinned evenly to `max_points`.

    Args:
        histogram: `[3, bins]`.
        max_points: At least 2.

    Returns:
        The points. The rates of an absent class are NaN.
    """
    occupied = np.flatnonzero(histogram[0] + histogram[1])[::-1]
    if occupied.size > max_points - 1:
        occupied = occupied[np.unique(np.linspace(0, occupied.size - 1, max_points - 1).round().astype(int))]
    rates = []
    for column in (1, 0):
        from_above = np.cumsum(histogram[column][::-1])[::-1]
        total = from_above[0]
        counts = np.concatenate(([0.0], from_above[occupied]))
        rates.append(counts / total if total > 0.0 else np.full(counts.shape, np.nan))
    return Roc(false_positive_rate=rates[0], true_positive_rate=rates[1])


def reliability(*, histogram: Floats, totals: Floats, groups: int = CALIBRATION_GROUPS) -> Reliability:
    """Returns mean prediction and observed rate of the groups of the calibration error (`ece`).

    With weights, a group's `examples` is its effective sample size: its weight times sum w / sum w^2 over all rows
    (Kish), which an interval around the observed rate needs.

    Args:
        histogram: `[3, bins]`.
        totals: `[4]`.
        groups: Number of groups, at least 2; groups left empty by ties are omitted.
    """
    sums = calibration_groups(up_to=np.cumsum(histogram, axis=1), groups=groups, ops=NUMPY)
    weight = sums[0] + sums[1]
    occupied = weight > 0.0
    sums, weight = sums[:, occupied], weight[occupied]
    effective = weight.sum() / totals[2] if weight.size else 1.0
    return Reliability(mean_prediction=sums[2] / weight, observed_rate=sums[0] / weight, examples=weight * effective)
