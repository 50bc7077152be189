"""Detects columns that a model should not rely on.

A column that alone determines the label was probably recorded after the event that is to be predicted. A column that
rises with the time will have new values when the model is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fullrank.data.proposal.column_profile import ColumnProfile

SUSPICIOUS: Final = 0.95
_BINS: Final = 64
_CHANCE: Final = 1e-9
_FEW: Final = 3
_ENOUGH_IN_ORDER: Final = 100
_RISING: Final = 0.98
_ENOUGH: Final = 20
"""Rows above which the rate of a group is trusted; rare ids would otherwise reveal their own label."""


def leak_hint(profile: ColumnProfile, label: ColumnProfile) -> str | None:
    """A warning if one column orders the rows nearly as the label does, or has a value that occurs only with clicks.

    Args:
      profile: A column of single values.
      label: A label whose values are numbers; it is ignored unless they are 0 and 1.
    """
    area = single_column_auc(profile, label)
    if area is None:
        return None
    if area >= SUSPICIOUS:
        return f"alone it predicts {label.name!r} (AUC {area:.3f}): is it known before the event?"
    certain = _value_of_positives_only(profile, label) or _others_of_positives_only(profile, label)
    if certain is None:
        return None
    return f"{label.name!r} is always 1 where it is {certain}: is it known before the event?"


def rises_with(profile: ColumnProfile, time: ColumnProfile) -> bool:
    """Whether a number rises with the time, as a date or a counter does: their rank correlation is at least 0.98."""
    from scipy import stats  # takes long to load

    if not len(profile.numbers) or not len(time.numbers) or profile.distinct < _FEW:
        return False
    present = (profile.codes >= 0) & (time.codes >= 0)
    values, times = profile.numbers[profile.codes[present]], time.numbers[time.codes[present]]
    if len(values) < _ENOUGH_IN_ORDER or values.min() == values.max() or times.min() == times.max():
        return False
    return float(stats.spearmanr(values, times).statistic) >= _RISING


def _value_of_positives_only(profile: ColumnProfile, label: ColumnProfile) -> str | None:
    """One of few values with which the label is always 1, although that is very unlikely by chance."""
    if profile.distinct > _BINS:
        return None
    present = (label.codes >= 0) & (profile.codes >= 0)
    clicks = label.numbers[label.codes[present]]
    rows = np.bincount(profile.codes[present], minlength=profile.distinct)
    positive = np.bincount(profile.codes[present], weights=clicks, minlength=profile.distinct)
    chance = clicks.mean() ** rows if len(clicks) else np.ones(profile.distinct)
    found = np.flatnonzero((rows >= _ENOUGH) & (positive == rows) & (chance < _CHANCE))
    return profile.values[int(found[0])] if len(found) else None


def _others_of_positives_only(profile: ColumnProfile, label: ColumnProfile) -> str | None:
    """`not VALUE` if the label is always 1 where the value is not the most frequent one, as with an amount spent."""
    other = (label.codes >= 0) & (profile.codes > 0)
    clicks = label.numbers[label.codes[label.codes >= 0]]
    if other.sum() < _ENOUGH or clicks.mean() ** int(other.sum()) >= _CHANCE:
        return None
    return f"not {profile.values[0]}" if bool(label.numbers[label.codes[other]].all()) else None


def single_column_auc(profile: ColumnProfile, label: ColumnProfile) -> float | None:
    """AUC of the best use of one column: each row is scored by the mean label of the rows of the same value.

    Numbers of many values are put into bins of equally many rows, and missing values are a group of their own. `None`
    if the label is not binary or has only one value.
    """
    if len(label.numbers) != 2 or set(label.numbers) != {0.0, 1.0} or not len(profile.codes):
        return None
    observed = label.codes >= 0
    clicks = label.numbers[label.codes[observed]]
    groups = _groups(profile)[observed] + 1
    rows = np.bincount(groups)
    positive = np.bincount(groups, weights=clicks)
    small = rows < _ENOUGH
    # Small groups are one group, of an unknown rate.
    rates = np.where(small, positive[small].sum() / max(rows[small].sum(), 1), positive / np.maximum(rows, 1))
    distinct, place = np.unique(rates, return_inverse=True)
    ups = np.bincount(place, weights=positive, minlength=len(distinct))
    downs = np.bincount(place, weights=rows - positive, minlength=len(distinct))
    if not ups.sum() or not downs.sum():
        return None
    below = np.cumsum(downs) - downs
    return float((ups * (below + downs / 2)).sum() / (ups.sum() * downs.sum()))


def _groups(profile: ColumnProfile) -> npt.NDArray[np.int64]:
    """The group of each row, -1 where the value is missing."""
    if not len(profile.numbers) or profile.distinct <= _BINS:
        return profile.codes
    present = profile.codes >= 0
    numbers = profile.numbers[profile.codes[present]]
    edges = np.quantile(numbers[np.isfinite(numbers)], np.linspace(0, 1, _BINS + 1)[1:-1])
    groups = np.full(len(profile.codes), -1)
    groups[present] = np.searchsorted(edges, numbers, side="right")
    return groups
