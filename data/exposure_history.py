"""What a user had seen of an ad before each exposure: the input of the repetitive exposure weight ([Tencent] §6.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class ExposureHistory(NamedTuple):
    """For each exposure `[N]`, in the order given, what came before it.

    Attributes:
      earlier_count: Earlier exposures of the ad to the user, int64.
      decayed_count: `sum over earlier ones of exp(-(t - t_earlier) / tau)`, float64; 0 for a first one.
      gap_days: Days since the last one, float64; NaN for a first one.
    """

    earlier_count: npt.NDArray[np.int64]
    decayed_count: npt.NDArray[np.float64]
    gap_days: npt.NDArray[np.float64]


def exposure_history(
    *,
    users: npt.ArrayLike,
    ads: npt.ArrayLike,
    times: npt.ArrayLike,
    tau_days: float = 7.0,
    units_per_day: float = 86_400.0,
) -> ExposureHistory:
    """Counts earlier exposures of the same (user, ad), in `O(N log N)` without a loop over rows.

    Only earlier exposures count, so nothing of an example's own future reaches its weight. Of exposures at the same
    time, the one that stands first is the earlier one. For "similar" ads give what they share (a campaign, a
    category) as `ads`.

    Args:
      users: `[N]` integers or strings.
      ads: `[N]` integers or strings.
      times: `[N]` numbers, in any order; integers are subtracted before they become floats.
      tau_days: Days after which an exposure counts 1/e.
      units_per_day: Of `times`: 86,400 for seconds, 86,400,000 for milliseconds.

    Raises:
      ValueError: If lengths differ, a time is NaN, or `tau_days` or `units_per_day` is not positive.
    """
    pair = _pair_codes(np.asarray(users), np.asarray(ads))
    time = np.asarray(times)
    if time.shape != pair.shape:
        raise ValueError(f"exposure_history takes one time a row; received {time.size} times and {pair.size} users")
    if not (tau_days > 0 and units_per_day > 0):
        raise ValueError(f"tau_days and units_per_day must be positive; received {tau_days} and {units_per_day}")
    if time.dtype.kind == "f" and np.isnan(time).any():
        raise ValueError(f"exposure_history needs every time; {int(np.isnan(time).sum())} are NaN")
    order = np.lexsort((time, pair))
    pair, time = pair[order], time[order]
    place = np.arange(pair.size)
    first = np.ones(pair.size, bool)
    first[1:] = pair[1:] != pair[:-1]
    count = place - np.maximum.accumulate(np.where(first, place, 0))
    gap = np.full(pair.size, np.nan)
    gap[1:] = (time[1:] - time[:-1]) / units_per_day
    gap[first] = np.nan
    decayed = _decayed(np.where(first, 0.0, np.exp(-np.where(first, 0.0, gap) / tau_days)), count)
    back = np.empty_like(order)
    back[order] = place
    return ExposureHistory(count[back].astype(np.int64), decayed[back], gap[back])


def _pair_codes(users: npt.NDArray[np.generic], ads: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    if users.ndim != 1 or users.shape != ads.shape:
        raise ValueError(f"exposure_history takes one user and one ad a row; received {users.shape} and {ads.shape}")
    _, user = np.unique(users, return_inverse=True)
    names, ad = np.unique(ads, return_inverse=True)
    codes: npt.NDArray[np.int64] = user.astype(np.int64) * len(names) + ad
    return codes


def _decayed(factor: npt.NDArray[np.float64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Solves `D_i = a_i (D_{i-1} + 1)` with `a_i = factor[i]`, which is 0 where a pair begins.

    Each pass composes every row's affine map with that of the row twice as far back, so log2 of the longest history
    passes do; all terms are positive, and nothing overflows or cancels.
    """
    scale, value = factor.copy(), factor.copy()
    reach = 1
    while reach <= (count.max() if count.size else 0):
        value[reach:] = value[reach:] + scale[reach:] * value[:-reach]
        scale[reach:] = scale[reach:] * scale[:-reach]
        reach *= 2
    return value
