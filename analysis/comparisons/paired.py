"""Paired measurements, one value per seed on both sides, with their interval, and Wilson's interval for a rate.

Also how much the scores of a model differ for pairs of items that differ only in their ids ([Tencent] §3.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from fullrank.analysis.comparisons.key_bootstrap import check_confidence

Verdict = Literal["as expected", "opposite", "not resolved"]


Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean of `values - baseline` over pairs, with an interval for it.

    Attributes:
      pairs: Number of pairs.
      mean: Mean difference.
      low: Lower end of the interval; NaN for fewer than two pairs, which have no spread.
      high: Upper end.
    """

    pairs: int
    mean: float
    low: float
    high: float

    def verdict(self, expected: Literal["+", "-"]) -> Verdict:
        """Whether the whole interval lies on the expected side of zero, on the other side, or contains zero."""
        if not (self.low > 0 or self.high < 0):
            return "not resolved"
        return "as expected" if (self.low > 0) == (expected == "+") else "opposite"


def paired_difference(
    *, values: Sequence[float], baseline: Sequence[float], confidence: float = 0.95
) -> PairedDifference:
    """Student's interval for the mean of the differences, which are assumed to be normal.

    It covers the result of another set of seeds on the same test examples, not that of another test set.

    Args:
      values: One measurement per seed.
      baseline: The baseline's measurements of the same seeds, in the same order.
      confidence: Level of the interval, in (0, 1).

    Raises:
      ValueError: If the two differ in length, or `confidence` is out of range.
    """
    check_confidence(confidence)
    if len(values) != len(baseline):
        raise ValueError(f"Paired values need equal lengths. Received: {len(values)} and {len(baseline)}.")
    differences = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    number = len(differences)
    if number == 0:
        return PairedDifference(pairs=0, mean=float("nan"), low=float("nan"), high=float("nan"))
    mean = float(differences.mean())
    if number == 1:
        return PairedDifference(pairs=1, mean=mean, low=float("nan"), high=float("nan"))
    error = float(differences.std(ddof=1)) / number**0.5
    reach = float(stdtrit(number - 1, 0.5 + confidence / 2)) * error
    return PairedDifference(pairs=number, mean=mean, low=mean - reach, high=mean + reach)


def wilson_interval(*, rate: npt.ArrayLike, examples: npt.ArrayLike, z: float = 1.959964) -> tuple[Floats, Floats]:
    """Computes Wilson's score interval, (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Unlike p -+ z sqrt(p(1-p)/n) it stays in [0, 1] and does not shrink to a point when no positive was seen, which is
    the usual case in a group of low predictions.

    Args:
        rate: observed rates `[G]`.
        examples: number of examples behind each, `[G]`, positive.
        z: normal quantile; default that of 95 %.

    Returns:
        Lower and upper ends, `[G]`.
    """
    p, n = np.asarray(rate, np.float64), np.asarray(examples, np.float64)
    centre = p + z * z / (2.0 * n)
    half = z * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    return np.clip((centre - half) / scale, 0.0, 1.0), np.clip((centre + half) / scale, 0.0, 1.0)


def inconsistency(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Mean over pairs of `|p - q| / ((p + q) / 2)`: 0 if all near-duplicates have equal scores, at most 2.

    Args:
      first: `[N]`, p: predictions, not negative.
      second: `[N]`, q: predictions of the same examples with the item replaced by a near-duplicate.

    Raises:
      ValueError: If lengths differ or a prediction is negative.
    """
    p, q = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(f"Pairs need two arrays [N]. Received: {p.shape} and {q.shape}.")
    if (p < 0).any() or (q < 0).any():
        raise ValueError("Predictions cannot be negative.")
    if not p.size:
        return float("nan")
    middle = (p + q) / 2
    return float(np.mean(np.divide(np.abs(p - q), middle, out=np.zeros_like(middle), where=middle > 0)))
