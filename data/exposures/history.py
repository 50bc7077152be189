"""Counts a user's earlier exposures to an ad, or to similar ads, before each exposure ([Tencent] §6.2, §3.2)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

_ONES: Final = np.array([value.bit_count() for value in range(256)], np.uint8)
"""The number of ones in each byte; NumPy counts them itself only from version 2.0."""


class ExposureHistory(NamedTuple):
    """Summary of the earlier exposures of each exposure, `[N]` in the order of the input.

    Attributes:
      earlier_count: Number of earlier exposures of the ad to the user, int64.
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
    time, the first in the input is the earlier one. For "similar" ads give what they share (a campaign, a category) as
    `ads`.

    Args:
      users: `[N]` integers or strings.
      ads: `[N]` integers or strings.
      times: `[N]` numbers, in any order; integers are subtracted before they become floats.
      tau_days: Days after which an exposure counts 1/e.
      units_per_day: Units per day of `times`: 86,400 for seconds, 86,400,000 for milliseconds.

    Raises:
      ValueError: If lengths differ, a time is NaN, or `tau_days` or `units_per_day` is not positive.
    """
    pair = _pair_codes(np.asarray(users), np.asarray(ads))
    time = np.asarray(times)
    if time.shape != pair.shape:
        raise ValueError(f"exposure_history takes one time per row; received {time.size} times and {pair.size} users")
    if not (tau_days > 0 and units_per_day > 0):
        raise ValueError(f"tau_days and units_per_day must be positive; received {tau_days} and {units_per_day}")
    if time.dtype.kind == "f" and np.isnan(time).any():
        raise ValueError(f"exposure_history needs every time; {int(np.isnan(time).sum())} are NaN")
    order, count = _in_order(pair, time)
    time, first = time[order], count == 0
    gap = np.full(pair.size, np.nan)
    gap[1:] = (time[1:] - time[:-1]) / units_per_day
    gap[first] = np.nan
    decayed = _decayed(np.where(first, 0.0, np.exp(-np.where(first, 0.0, gap) / tau_days)), count)
    return _as_given(order, count, decayed, gap)


def similar_exposures(
    *,
    users: npt.ArrayLike,
    ads: npt.ArrayLike,
    bits: npt.ArrayLike,
    times: npt.ArrayLike,
    radius: int,
    tau_days: float = 7.0,
    units_per_day: float = 86_400.0,
) -> ExposureHistory:
    """As `exposure_history`, but an earlier exposure counts if its ad is the same or differs in at most `radius` bits.

    "Similar" is not transitive, so there are no groups to count in: each exposure is compared with every earlier one of
    its user, the k-th last of all rows at once. That takes `sum_u n_u^2 / 2` comparisons for n_u exposures per user.

    Args:
      users: `[N]` integers or strings.
      ads: `[N]` integers or strings.
      bits: `[N, K]` of 0 and 1; a row of -1 has no HashID and is similar to its own ad only.
      times: `[N]` numbers, in any order; of equal ones, the first in the input is the earlier one.
      radius: Bits in which a similar ad may differ; 0 asks for equal HashIDs.
      tau_days: Days after which an exposure counts 1/e.
      units_per_day: Units per day of `times`.

    Raises:
      ValueError: If lengths differ, or a number is out of range.
    """
    _, user = np.unique(np.asarray(users), return_inverse=True)
    _, ad = np.unique(np.asarray(ads), return_inverse=True)
    time, codes = np.asarray(times), np.asarray(bits)
    if codes.ndim != 2 or not len(user) == len(ad) == len(time) == len(codes):
        raise ValueError(
            "similar_exposures takes one user, ad, time and row of bits per exposure; "
            f"received {len(user)}, {len(ad)}, {len(time)} and {codes.shape}"
        )
    if radius < 0 or not (tau_days > 0 and units_per_day > 0):
        raise ValueError(
            "similar_exposures needs radius >= 0, tau_days > 0 and units_per_day > 0; "
            f"received {radius}, {tau_days} and {units_per_day}"
        )
    order, earlier = _in_order(user, time)
    ad, time, codes = ad[order], time[order], codes[order]
    known = np.all(codes >= 0, axis=1)
    packed = np.packbits(np.where(known[:, np.newaxis], codes > 0, False), axis=1)
    count, decayed, gap = np.zeros(len(user), np.int64), np.zeros(len(user)), np.full(len(user), np.nan)
    rows: npt.NDArray[Any] = np.flatnonzero(earlier >= 1)
    lag = 1
    while len(rows):
        before = rows - lag
        distance = _ONES[packed[rows] ^ packed[before]].sum(axis=1, dtype=np.int64)
        alike = np.equal(ad[rows], ad[before]) | ((distance <= radius) & known[rows] & known[before])
        hit, seen = rows[alike], before[alike]
        days = (time[hit] - time[seen]) / units_per_day
        decayed[hit] += np.exp(-days / tau_days)
        gap[hit] = np.where(count[hit] == 0, days, gap[hit])
        count[hit] += 1
        lag += 1
        rows = rows[earlier[rows] >= lag]
    return _as_given(order, count, decayed, gap)


def _in_order(group: npt.NDArray[np.int64], time: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Positions sorted by group, then time, and how many positions of the group precede each."""
    order = np.lexsort((time, group))
    group, place = group[order], np.arange(group.size)
    first = np.ones(group.size, bool)
    first[1:] = group[1:] != group[:-1]
    return order, place - np.maximum.accumulate(np.where(first, place, 0))


def _as_given(order: npt.NDArray[np.int64], *columns: npt.NDArray[Any]) -> ExposureHistory:
    """Returns sorted columns in the order of the input."""
    back = np.argsort(order)
    return ExposureHistory(*(column[back] for column in columns))


def _pair_codes(users: npt.NDArray[np.generic], ads: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    if users.ndim != 1 or users.shape != ads.shape:
        raise ValueError(f"exposure_history takes one user and one ad per row; received {users.shape} and {ads.shape}")
    _, user = np.unique(users, return_inverse=True)
    names, ad = np.unique(ads, return_inverse=True)
    codes: npt.NDArray[np.int64] = user.astype(np.int64) * len(names) + ad
    return codes


def _decayed(factor: npt.NDArray[np.float64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Solves `D_i = a_i (D_{i-1} + 1)` with `a_i = factor[i]`, which is 0 where a pair begins.

    Each pass composes every row's affine map with that of the row twice as far back, so log2 of the longest history
    passes suffice; all terms are positive, so nothing overflows or cancels.
    """
    scale, value = factor.copy(), factor.copy()
    reach = 1
    while reach <= (count.max() if count.size else 0):
        value[reach:] = value[reach:] + scale[reach:] * value[:-reach]
        scale[reach:] = scale[reach:] * scale[:-reach]
        reach *= 2
    return value
