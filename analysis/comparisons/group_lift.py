"""The feature values that are more frequent in a group than overall, and the use of codes ([Meta] §3.1)."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Lift:
    """One value of a feature in one group.

    Attributes:
      group: Number of the group.
      value: Number of the value.
      examples: Examples of the group that have it.
      share: Share of the group's examples that have it.
      overall: Share of all examples that have it.
      lift: share / overall.
      z: `(share - overall) / sqrt(overall (1 - overall) / n)`, n the examples of the group: the excess in standard
        errors. Sorting by z does not put a value of three examples first, as sorting by lift would.
    """

    group: int
    value: int
    examples: int
    share: float
    overall: float
    lift: float
    z: float


def group_lifts(*, groups: npt.ArrayLike, values: npt.ArrayLike, least: int = 20) -> list[Lift]:
    """Finds what distinguishes each group, the most certain first.

    Args:
      groups: `[N]`, the group of each example, from 0.
      values: `[N]`, the value of a feature, from 0; negative where it has none.
      least: Examples of a group that must have a value.

    Returns:
      Values that are more frequent in a group than overall.

    Raises:
      ValueError: If lengths differ.
    """
    group, value = (np.asarray(given, np.int64) for given in (groups, values))
    if group.shape != value.shape or group.ndim != 1:
        raise ValueError(f"Lifts take groups and values [N]. Received: {group.shape} and {value.shape}.")
    if not group.size or not (value >= 0).any():
        return []
    sizes, known = np.bincount(group), value >= 0
    several = int(value.max()) + 1
    cells, counts = np.unique(group[known] * several + value[known], return_counts=True)
    overall = np.bincount(value[known], minlength=several) / group.size
    found = []
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        which, what = divmod(cell, several)
        share, base, size = count / sizes[which], float(overall[what]), int(sizes[which])
        if count >= least and share > base and base < 1:
            z = (share - base) / np.sqrt(base * (1 - base) / size)
            found.append(Lift(which, what, count, float(share), base, float(share / base), float(z)))
    return sorted(found, key=lambda lift: -lift.z)


@dataclasses.dataclass(frozen=True)
class CodeUsage:
    """The use of the codes of one level.

    Attributes:
      shares: `[C]`, of the examples that chose each code.
      usage: Share of the codes that were chosen at all.
      perplexity: exp of the entropy of the shares: C if all are chosen equally often, 1 if only one is.
    """

    shares: npt.NDArray[np.float64]
    usage: float
    perplexity: float


def code_usage(counts: npt.ArrayLike) -> CodeUsage:
    """Computes usage and perplexity from the number of times that each code was chosen.

    Args:
      counts: `[C]`, not negative.

    Raises:
      ValueError: If nothing was chosen.
    """
    chosen = np.asarray(counts, np.float64)
    total = float(chosen.sum())
    if chosen.ndim != 1 or not total > 0:
        raise ValueError(
            f"The usage of codes takes counts [C], not all 0. Received: shape {chosen.shape}, sum {total:g}."
        )
    shares = chosen / total
    some = shares[shares > 0]
    return CodeUsage(shares, float(np.mean(shares > 0)), float(np.exp(-np.sum(some * np.log(some)))))
