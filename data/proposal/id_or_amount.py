"""Decides whether whole numbers are ids or amounts, from their name, their values and their relation to labels."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.data.proposal import name_hints
from fullrank.data.proposal.column_profile import ColumnProfile

FEW: Final = 32
_LARGE: Final = 2**31
_BINS: Final = 64
_SHRINK: Final = 5.0
"""Rows at which the rate of an id has the same weight as that of its neighbours."""
_SURE: Final = 4.0
"""Standard errors above which a gain is not due to chance."""
_DENSE: Final = 0.5
_SCATTERED: Final = 0.1
_MOSTLY: Final = 0.8


class Verdict(NamedTuple):
    """Whether numbers are treated as ids, and why; `note` is `None` if there is nothing to check."""

    is_id: bool
    note: str | None


def judge(profile: ColumnProfile, labels: list[ColumnProfile]) -> Verdict:
    """Decides about a column of single whole numbers.

    The criteria, in this order: a name that says so; numbers beyond 2**31; at most 32 different numbers; mostly 0 and
    otherwise far apart, as gains and losses are; whether neighbouring numbers have different rates of the label, on
    rows from which those rates were not estimated; and numbers of at least -1 that fill their range and repeat, as
    numbered things do.

    Args:
      profile: The column.
      labels: Only binary labels are used.
    """
    if name_hints.is_id(profile.name):
        return Verdict(True, None)
    if max(abs(profile.minimum or 0), abs(profile.maximum or 0)) >= _LARGE:
        return Verdict(True, None)
    if profile.distinct <= 2:
        return Verdict(True, None)
    if profile.distinct <= FEW:
        return Verdict(True, "few whole numbers, treated as categories: --numeric if they are amounts")
    if name_hints.is_amount(profile.name):
        return Verdict(False, None)
    span = (profile.maximum or 0) - (profile.minimum or 0) + 1
    if _scattered_beside_zero(profile, span) and not name_hints.is_thing(profile.name):
        note = "whole numbers, mostly 0 and otherwise far apart, treated as amounts: --sparse if they name things"
        return Verdict(False, note)
    gains = [gain for label in labels if (gain := neighbours_differ(profile, label)) is not None]
    strongest = max(gains, default=0.0)
    if strongest >= _SURE:
        return Verdict(
            True,
            f"whole numbers whose neighbours behave differently ({strongest:.0f} standard errors), treated as ids: "
            "--numeric if they are amounts",
        )
    if name_hints.is_thing(profile.name):
        return Verdict(True, "whole numbers with the name of a thing, treated as ids: --numeric if they are amounts")
    # Nothing is numbered below -1, which may mean "none".
    if (
        (profile.minimum or 0) >= -1
        and profile.distinct >= _DENSE * span
        and profile.distinct > 4 * FEW
        and not _falls(profile)
    ):
        return Verdict(
            True,
            f"whole numbers that fill {profile.distinct / span:.0%} of their range, treated as ids: --numeric if "
            "they are amounts",
        )
    return Verdict(False, "whole numbers, treated as amounts: --sparse if they name things")


def neighbours_differ(profile: ColumnProfile, label: ColumnProfile) -> float | None:
    """How surely the label depends on the number itself beyond its range, in standard errors.

    Half of the rows define the rate of each of 64 ranges of equally many rows, and the rate of each number, shrunk to
    that of its range. On the other half the gain in log-likelihood of the second over the first is measured.

    Returns:
      Mean gain per row over its standard error; `None` if the label is not binary or no rows are left.
    """
    if len(label.numbers) != 2 or set(label.numbers) != {0.0, 1.0} or len(profile.codes) != len(label.codes):
        return None
    rows = (label.codes >= 0) & (profile.codes >= 0)
    clicks = label.numbers[label.codes[rows]]
    codes = profile.codes[rows]
    if len(codes) < 4 * FEW or not len(profile.numbers):
        return None
    numbers = profile.numbers[codes]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1]))
    ranges = np.searchsorted(edges, numbers, side="right")
    teach = np.random.default_rng(0).random(len(codes)) < 0.5
    base = clicks[teach].mean() if teach.any() else 0.5
    by_range = _rates(ranges, clicks, teach, np.full(len(edges) + 1, base))
    own_range = np.zeros(profile.distinct, np.int64)
    own_range[codes] = ranges
    by_number = _rates(codes, clicks, teach, by_range[own_range])
    asked = ~teach
    gain = _likelihood(by_number[codes[asked]], clicks[asked]) - _likelihood(by_range[ranges[asked]], clicks[asked])
    spread = gain.std()
    return float(gain.mean() / spread * np.sqrt(len(gain))) if len(gain) > 1 and spread > 0 else None


def _rates(
    groups: npt.NDArray[np.int64],
    clicks: npt.NDArray[np.float64],
    teach: npt.NDArray[np.bool_],
    prior: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    rows = np.bincount(groups[teach], minlength=len(prior))
    ups = np.bincount(groups[teach], weights=clicks[teach], minlength=len(prior))
    found: npt.NDArray[np.float64] = np.clip((ups + _SHRINK * prior) / (rows + _SHRINK), 1e-4, 1 - 1e-4)
    return found


def _likelihood(rates: npt.NDArray[np.float64], clicks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.where(clicks > 0.5, np.log(rates), np.log1p(-rates))
    return found


def _scattered_beside_zero(profile: ColumnProfile, span: float) -> bool:
    """Whether most rows hold 0, and the numbers of the others are far apart: round sums, not numbered things."""
    if profile.values[0] != "0" or profile.distinct > _SCATTERED * span:
        return False
    return bool((profile.codes == 0).sum() >= _MOSTLY * (profile.codes >= 0).sum())


def _falls(profile: ColumnProfile) -> bool:
    """Whether larger numbers are rarer throughout, as with counts."""
    counts = np.bincount(profile.codes[profile.codes >= 0], minlength=profile.distinct)
    order = np.argsort(profile.numbers)
    parts = [part.sum() for part in np.array_split(counts[order], 4)]
    return bool(np.all(np.diff(parts) < 0) and parts[0] > 2 * parts[-1])
