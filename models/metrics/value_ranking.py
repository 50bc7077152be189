"""Ranking and calibration of predicted values: normalised Gini and deciles, exact, from all rows at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
GROUPS = 10


def normalised_gini(*, labels: Floats, predictions: Floats, weights: Floats) -> float:
    """Area between the diagonal and the cumulative label by descending prediction, over that of the perfect order.

    It is 1 if predictions order the rows as labels do, 0 for a random order. Rows of equal prediction share their
    labels evenly; for labels 0 and 1 it is 2 AUC - 1. It is undefined if all labels are equal.

    Args:
        labels: `[N]`, finite.
        predictions: `[N]`, finite.
        weights: `[N]`, positive.
    """
    if not labels.size or labels.min() == labels.max():
        return math.nan
    return _area(predictions, labels, weights) / _area(labels, labels, weights)


def _area(scores: Floats, labels: Floats, weights: Floats) -> float:
    """The area above the diagonal, in the units of labels."""
    order = np.argsort(-scores, kind="stable")
    firsts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    share = np.add.reduceat(weights[order], firsts) / weights.sum()
    gained = np.add.reduceat((weights * labels)[order], firsts)
    after = np.cumsum(gained)
    return float(share @ (after - 0.5 * gained) - 0.5 * after[-1])


def deciles(*, labels: Floats, predictions: Floats, weights: Floats, groups: int = GROUPS) -> dict[str, Floats]:
    """Mean label and mean prediction of groups of nearly equal weight, in the order of predictions.

    Args:
        labels: `[N]`.
        predictions: `[N]`.
        weights: `[N]`, positive.
        groups: Number of groups, ten for deciles; rows of equal prediction stay together, so there can be fewer.

    Returns:
        `mean_label`, `mean_prediction` and `weight`, lowest predictions first.
    """
    order = np.argsort(predictions, kind="stable")
    y, p, w = labels[order], predictions[order], weights[order]
    firsts = np.flatnonzero(np.diff(p, prepend=-np.inf))
    # Rows of equal prediction go to the group of their midpoint.
    tied = np.add.reduceat(w, firsts) if w.size else w
    middle = np.cumsum(tied) - 0.5 * tied
    place = np.minimum((middle / max(float(w.sum()), 1e-300) * groups).astype(np.int64), groups - 1)
    group = np.repeat(place, np.diff(firsts, append=y.size))
    weight = np.bincount(group, w, minlength=groups)
    full = weight > 0
    sums = {"mean_label": w * y, "mean_prediction": w * p}
    found: dict[str, Floats] = {
        name: np.bincount(group, values, minlength=groups)[full] / weight[full] for name, values in sums.items()
    }
    found["weight"] = np.asarray(weight[full], np.float64)
    return found


def decile_error(found: dict[str, Floats]) -> float:
    """`sum_g w_g |predicted_g - observed_g| / sum_g w_g observed_g`; not defined unless the labels' sum is positive."""
    total = float(found["weight"] @ found["mean_label"])
    gap = np.abs(found["mean_prediction"] - found["mean_label"])
    return float(found["weight"] @ gap) / total if total > 0 else math.nan
