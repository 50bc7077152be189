"""All formulas of the binary metrics, shared by the training metric and the evaluator.

A task's statistics are sums over rows, so those of two workers can be added:

* `histogram` `[3, bins]`: for each bin of the logit grid, the weight of positives, the weight of negatives, and the
  weighted sum of predicted probabilities;
* `totals` `[4]`: rows, positives (both unweighted), squared weights, and weighted log loss.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fullrank.models.metrics.array_ops import ArrayOps
from fullrank.models.metrics.logit_grid import CLIP, LOGIT_CLIP, LogitGrid

TOTALS = 4
STATISTICS = ("auc", "log_loss", "ne", "ece", "bias", "base_rate", "mean_prediction")
CALIBRATION_GROUPS = 20
_NAN = float("nan")


class BinaryRows(NamedTuple):
    """Summands of each row: its bin `[B]` (-1 for a NaN score), three weights `[B]`, four totals `[B]`."""

    bin: Any
    columns: tuple[Any, Any, Any]
    totals: tuple[Any, Any, Any, Any]


def binary_rows(
    *, labels: Any, scores: Any, weights: Any, from_logits: bool, grid: LogitGrid, ops: ArrayOps
) -> BinaryRows:
    """Turns rows into summands.

    A row counts if its label is observed (not NaN) and its weight is positive; any other row adds exact zeros,
    regardless of its score. A label between 0 and 1 is a soft label: it counts as a positive with weight y and as a
    negative with weight 1 - y. A NaN score makes the log loss NaN, on purpose: it is a fault of the model that must not
    be averaged away.

    Args:
        labels: `[B]` float64 in [0, 1], NaN where not observed.
        scores: `[B]` float64, probabilities or logits.
        weights: `[B]` float64, not negative.
        from_logits: Whether `scores` are logits.
        grid: The bins.
        ops: The array library.

    Returns:
        The summands of the `B` rows.
    """
    counts = ~ops.isnan(labels) & (weights > 0.0)
    y = ops.where(counts, labels, 0.0)
    w = ops.where(counts, weights, 0.0)
    raw = ops.where(counts, scores, 0.0)
    broken = ops.isnan(raw)
    score = ops.where(broken, 0.0, raw)
    if from_logits:
        # Beyond +-80 the probability no longer changes in float64 while exp() would overflow.
        probability = 1.0 / (1.0 + ops.exp(-ops.clip(score, -80.0, 80.0)))
        logit = ops.clip(score, -LOGIT_CLIP, LOGIT_CLIP)
    else:
        probability = score
        clipped = ops.clip(score, CLIP, 1.0 - CLIP)
        logit = ops.log(clipped) - ops.log1p(-clipped)
    # -y log p - (1 - y) log(1 - p) = log(1 + e^z) - y z
    loss = ops.where(broken, _NAN, ops.log1p(ops.exp(logit)) - y * logit)
    bins = ops.where(broken, -1, grid.index(logit, ops=ops))
    row = ops.where(counts, 1.0, 0.0 * w)
    return BinaryRows(bins, (w * y, w * (1.0 - y), w * probability), (row, row * y, w * w, w * loss))


def binary_statistics(
    *, histogram: Any, totals: Any, ops: ArrayOps, groups: int = CALIBRATION_GROUPS
) -> dict[str, Any]:
    """Computes the statistics named in `STATISTICS` from the sums; NaN where one is not defined.

    With P and N the weights of positives and negatives, W = P + N, r = P / W the base rate:

    * auc: probability that a positive scores above a negative; pairs tied in a bin count one half.
    * log_loss: mean of -y log p - (1 - y) log(1 - p), p clipped to [1e-7, 1 - 1e-7].
    * ne: normalised entropy, log_loss / (-r log r - (1 - r) log(1 - r)); the constant prediction r has an ne of 1.
    * ece: expected calibration error, sum over groups g of (W_g / W) |mean p in g - mean y in g|. Groups hold equal
      *mass* (each 1 / `groups` of the weight, in order of score): click rates are concentrated near zero, where of
      groups of equal width only one would be occupied. With few rows, noise alone makes it positive.
    * bias: predicted over observed, sum p / sum y; 1 is unbiased.
    * base_rate: P / W. mean_prediction: mean p.

    auc and ne need both classes, bias needs a positive, the rest at least one row.

    Args:
        histogram: `[3, bins]`.
        totals: `[4]`.
        ops: The array library.
        groups: Number of calibration groups, at least 2.

    Returns:
        Name -> scalar.
    """
    up_to = ops.cumsum(histogram, axis=1)
    p, n, predicted = ops.unstack(up_to[:, -1])
    w = p + n
    won_pairs = ops.sum(histogram[0] * (up_to[1] - 0.5 * histogram[1]))
    grouped = calibration_groups(up_to=up_to, groups=groups, ops=ops)
    both = (p > 0.0) & (n > 0.0)
    p1, n1 = (ops.where(both, weight, 1.0) for weight in (p, n))
    entropy = p1 * ops.log((p1 + n1) / p1) + n1 * ops.log((p1 + n1) / n1)
    quotients = {
        "auc": (won_pairs, p * n),
        "log_loss": (totals[3], w),
        "ne": (totals[3], ops.where(both, entropy, 0.0)),
        "ece": (ops.sum(abs(grouped[2] - grouped[0])), w),
        "bias": (predicted, p),
        "base_rate": (p, w),
        "mean_prediction": (predicted, w),
    }
    numerators, denominators = (ops.stack(parts) for parts in zip(*quotients.values(), strict=True))
    return dict(zip(quotients, ops.unstack(ratio(numerators, denominators, ops=ops)), strict=True))


def calibration_groups(*, up_to: Any, groups: int, ops: ArrayOps) -> Any:
    """Sums bins into groups of equal weight in order of score: cumulative sums `[3, bins]` -> sums `[3, groups]`.

    A group ends with the bin in which its share of the weight is reached, so a bin that holds several shares (many
    equal scores) leaves the following groups empty.
    """
    weight = up_to[0] + up_to[1]
    # Slightly below the exact share, so that rounding in the sums does not push a group's end into the next bin.
    shares = [(group + 1) / groups * (1.0 - 1e-12) for group in range(groups - 1)]
    last = ops.searchsorted(weight, weight[-1:] * shares)
    ends = ops.take(up_to, last, axis=1)
    first, middle, final = ends[:, :1], ends[:, 1:] - ends[:, :-1], up_to[:, -1:] - ends[:, -1:]
    return ops.concat([first, middle, final], axis=1)


def ratio(numerator: Any, denominator: Any, *, ops: ArrayOps) -> Any:
    """Returns numerator / denominator, NaN (without a warning) where the denominator is zero."""
    defined = denominator > 0.0
    return ops.where(defined, numerator / ops.where(defined, denominator, 1.0), _NAN)
