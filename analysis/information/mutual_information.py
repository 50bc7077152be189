"""Mutual information of counts, its bias, and its value by chance alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, xlogy

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_DEVIATIONS: Final = 14.0
"""Standard deviations of a hypergeometric count that its expectation is taken over; what lies beyond is below 1e-20."""
_MOST_DRAWN: Final = 10**9
"""NumPy draws from urns below this size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Information:
    """Mutual information of one X with a binary label, in nats.

    Attributes:
      examples: Examples counted.
      values: Values of X that occurred.
      plugin: Its value for the observed shares. It is biased upwards, more so if X has more values.
      miller_madow: `plugin` minus the first-order bias.
      chance: Exact mean over all permutations of the labels: its value for an unrelated X.
      low: Lower end of the interval that 95 % of drawn permutations lie in (not an interval for the truth).
      high: Upper end; above it X tells more than chance.
      p_value: Share of permutations at least as large as `plugin`, by `(1 + k) / (1 + draws)`.
    """

    examples: int
    values: int
    plugin: float
    miller_madow: float
    chance: float
    low: float
    high: float
    p_value: float

    @property
    def corrected(self) -> float:
        """`plugin - chance`: mean zero where X and the label are independent."""
        return self.plugin - self.chance

    def to_json(self) -> dict[str, Any]:
        """All numbers; undefined ones are None."""
        numbers = {**dataclasses.asdict(self), "corrected": self.corrected}
        return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def mutual_information(counts: npt.ArrayLike) -> Floats:
    """`MI(X, Y) = sum_xy p(x, y) log(p(x, y) / (p(x) p(y)))` of observed shares, in nats ([Tencent] Eq. 6).

    Args:
      counts: `[..., R, C]`, not negative: how often each of the R values of X occurred with each of the C values of Y.
        They may be sums of predicted probabilities of Y.

    Returns:
      `[...]`; NaN where nothing was counted.
    """
    table = np.asarray(counts, np.float64)
    total = table.sum((-2, -1))
    # H(X) + H(Y) - H(X, Y), with n log n in place of p log p.
    parts = (
        _entropy_sum(table.reshape(*table.shape[:-2], -1)) - _entropy_sum(table.sum(-1)) - _entropy_sum(table.sum(-2))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(total > 0, np.maximum(parts / total + np.log(total), 0.0), np.nan)
    return found


def miller_madow_bias(counts: npt.ArrayLike, *, noise: npt.ArrayLike = 1.0) -> Floats:
    """The first-order bias of `mutual_information`, `(K_xy - K_x - K_y + 1) / 2 N`; K are numbers of nonzero counts.

    Args:
      counts: `[..., R, C]`.
      noise: `[...]`, variance of Y given its mean relative to that of a drawn label, `Var(Y) / (p (1 - p))`: 1 for
        labels, less for predicted probabilities, which are not drawn.

    Returns:
      `[...]`; NaN where nothing was counted.
    """
    table = np.asarray(counts, np.float64)
    total = table.sum((-2, -1))
    joint = (table > 0).sum((-2, -1))
    rows, columns = (table.sum(-1) > 0).sum(-1), (table.sum(-2) > 0).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(total > 0, noise * (joint - rows - columns + 1) / (2.0 * total), np.nan)
    return found


def chance_information(counts: npt.ArrayLike) -> float:
    """Mean of the mutual information over all permutations of a binary label, exactly.

    A permutation keeps how often each value of X and of Y occurs, so that the positives k of a value with m examples
    are hypergeometric, and the mean is a sum over values of the mean of `k log k + (m - k) log(m - k)`. Values of equal
    m are computed once.

    Args:
      counts: `[R, 2]`, whole numbers.

    Returns:
      Nats; NaN where nothing was counted.
    """
    table = _checked(counts)
    total, (negatives, positives) = int(table.sum()), (int(n) for n in table.sum(0))
    if not total:
        return math.nan
    sizes, times = np.unique(table.sum(1), return_counts=True)
    joint = math.fsum(
        many * _expected_sum(int(size), positives, total) for size, many in zip(sizes, times, strict=True) if size
    )
    margins = float(_entropy_sum(table.sum(1))) + float(_entropy_sum(np.array([negatives, positives])))
    return max(0.0, (joint - margins) / total + math.log(total))


def _expected_sum(size: int, positives: int, total: int) -> float:
    """Mean of `k log k + (m - k) log(m - k)` for k of m = `size` examples that are positive."""
    mean = size * (positives / total)
    spread = math.sqrt(max(mean * (1 - positives / total) * (total - size) / max(total - 1, 1), 0.0))
    reach = math.ceil(_DEVIATIONS * spread) + 30
    least, most = max(0, size + positives - total, int(mean) - reach), min(size, positives, int(mean) + reach)
    k = np.arange(least, most + 1, dtype=np.float64)
    chances = _log_choose(positives, k) + _log_choose(total - positives, size - k)
    chances = np.exp(chances - chances.max())
    return float((chances * (xlogy(k, k) + xlogy(size - k, size - k))).sum() / chances.sum())


def _log_choose(n: int, k: Floats) -> Floats:
    found: Floats = -gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return found


def information(counts: npt.ArrayLike, *, draws: int, seed: int) -> Information:
    """All measures of one X.

    Args:
      counts: `[R, 2]`, whole numbers: how often each value of X occurred with label 0 and with label 1.
      draws: Permutations of the labels to draw for the interval. They are drawn as tables with the same sums, so that
        their cost depends on R, not on the examples.
      seed: Seed of the draws.

    Raises:
      ValueError: If counts have another shape or draws is below 20.
    """
    table = _checked(counts)
    table = table[table.sum(1) > 0]
    if draws < 20:
        raise ValueError(f"An interval of permutations needs draws >= 20. Received: {draws}.")
    plugin = float(mutual_information(table)) if len(table) else math.nan
    drawn = permuted_information(table, draws=draws, seed=seed)
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (math.nan, math.nan)
    # Draws that are equal to the observed table differ from it by rounding alone.
    reached = int((drawn >= plugin - 1e-12).sum())
    return Information(
        examples=int(table.sum()),
        values=len(table),
        plugin=plugin,
        miller_madow=plugin - float(miller_madow_bias(table)) if len(table) else math.nan,
        chance=chance_information(table),
        low=float(low),
        high=float(high),
        p_value=(1 + reached) / (1 + draws) if len(drawn) else math.nan,
    )


def permuted_information(counts: npt.ArrayLike, *, draws: int, seed: int) -> Floats:
    """The mutual information of drawn permutations of a binary label, `[draws]`; empty where it is not defined.

    Args:
      counts: `[R, 2]`, whole numbers.
      draws: Number of draws.
      seed: Seed of the draws.
    """
    table = _checked(counts)
    sizes, positives = table.sum(1), int(table[:, 1].sum())
    if not 0 < int(sizes.sum()) < _MOST_DRAWN:
        return np.empty(0)
    generator = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        ones = generator.multivariate_hypergeometric(sizes, positives, method="marginals")
        found[draw] = mutual_information(np.stack([sizes - ones, ones], axis=1))
    return found


def _checked(counts: npt.ArrayLike) -> Integers:
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu" or (table < 0).any():
        raise ValueError(
            f"Counts of X and a binary label are whole numbers [R, 2]. Received: {table.dtype} {table.shape}."
        )
    return table.astype(np.int64)


def _entropy_sum(counts: npt.NDArray[Any]) -> Floats:
    """`sum n log n` over the last axis."""
    values = counts.astype(np.float64)
    found: Floats = xlogy(values, values).sum(-1)
    return found
