"""Bootstrap by key of a ratio of two sums, for many groups of rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse


def ratio_draws(
    *,
    groups: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    draws: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Draws `sum numerators / sum denominators` of each group, with keys drawn with replacement.

    All rows of a key (a user, a request) come and go together, because they are not independent; and both sums see the
    same keys, so what they share cancels. Rows are summed by group and key once, and a draw is a sparse product.

    Args:
      groups: `[N]`, 0..G-1.
      keys: `[N]`, 0..K-1, each occurring.
      numerators: `[N]`.
      denominators: `[N]`, not negative.
      draws: Number of draws.
      seed: Of the random numbers.

    Returns:
      `[draws, G + 1]`, the last column over all rows; NaN where a draw leaves nothing in the denominator.
    """
    number, key_number = (int(codes.max()) + 1 if codes.size else 0 for codes in (groups, keys))
    generator = np.random.default_rng(seed)
    sums: Any = scipy.sparse.csr_matrix(
        (
            np.concatenate([numerators, denominators]),
            (np.concatenate([groups, groups + number]), np.concatenate([keys, keys])),
        ),
        shape=(2 * number, key_number),
    )
    found = np.empty((draws, 2, number + 1))
    for draw in found:
        times = np.bincount(generator.integers(0, key_number, key_number), minlength=key_number)
        draw[:, :-1] = (sums @ times.astype(np.float64)).reshape(2, number)
        draw[:, -1] = draw[:, :-1].sum(axis=1)
    result = np.full((draws, number + 1), np.nan)
    np.divide(found[:, 0], found[:, 1], out=result, where=found[:, 1] > 0)
    return result


def percentile_interval(
    values: npt.NDArray[np.float64], *, confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The middle `confidence` of each column of `[draws, n]`; NaN where a tenth of the draws are not defined."""
    tail = (1.0 - confidence) / 2
    known = np.mean(np.isfinite(values), axis=0) > 0.9
    ends = np.full((2, values.shape[1]), np.nan)
    if known.any():
        ends[:, known] = np.nanquantile(values[:, known], [tail, 1.0 - tail], axis=0)
    return ends[0], ends[1]
