"""Earlier exposures of the same or a similar ad, one whose HashID differs in few bits ([Tencent] §6.2, §3.2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.exposure_history import ExposureHistory

_ONES: Final = np.array([value.bit_count() for value in range(256)], np.uint8)
"""Ones of a byte; NumPy counts them by itself from 2.0 on only."""


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
    its person, the k-th last of all rows at once. That takes `sum_u n_u^2 / 2` comparisons for n_u exposures a person.

    Args:
      users: `[N]` integers or strings.
      ads: `[N]` integers or strings.
      bits: `[N, K]` of 0 and 1; a row of -1 has no HashID and is similar to its own ad only.
      times: `[N]` numbers, in any order; of equal ones, the one that stands first is the earlier one.
      radius: Bits in which a similar ad may differ; 0 asks for equal HashIDs.
      tau_days: Days after which an exposure counts 1/e.
      units_per_day: Of `times`.

    Raises:
      ValueError: If lengths differ, or a number is out of range.
    """
    _, user = np.unique(np.asarray(users), return_inverse=True)
    _, ad = np.unique(np.asarray(ads), return_inverse=True)
    time, codes = np.asarray(times), np.asarray(bits)
    if codes.ndim != 2 or not len(user) == len(ad) == len(time) == len(codes):
        raise ValueError(
            "similar_exposures takes one user, ad, time and row of bits an exposure; "
            f"received {len(user)}, {len(ad)}, {len(time)} and {codes.shape}"
        )
    if radius < 0 or not (tau_days > 0 and units_per_day > 0):
        raise ValueError(
            "similar_exposures needs radius >= 0, tau_days > 0 and units_per_day > 0; "
            f"received {radius}, {tau_days} and {units_per_day}"
        )
    order = np.lexsort((time, user))
    user, ad, time = user[order], ad[order], time[order]
    known = np.all(codes[order] >= 0, axis=1)
    packed = np.packbits(np.where(known[:, np.newaxis], codes[order] > 0, False), axis=1)
    count, decayed, gap = np.zeros(len(user), np.int64), np.zeros(len(user)), np.full(len(user), np.nan)
    place = np.arange(len(user))
    starts = np.ones(len(user), bool)
    starts[1:] = user[1:] != user[:-1]
    earlier = place - np.maximum.accumulate(np.where(starts, place, 0))
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
    back = np.empty_like(order)
    back[order] = place
    return ExposureHistory(count[back], decayed[back], gap[back])
