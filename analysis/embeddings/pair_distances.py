"""Distances of user-item pairs in the embedding spaces of a model, and the pairs on which two tasks disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_CHUNK: Final = 2**16


def pair_distances(users: npt.NDArray[Any], items: npt.NDArray[Any], *, pairs: npt.NDArray[np.int64]) -> Floats:
    """Cosine distance `1 - <u, v> / (|u| |v|)` of each pair, `[P]`; between 0 and 2, and 1 for a vector of zeros.

    The paper only says distance. The cosine is what an interaction by products uses apart from the norms, which encode
    the popularity of a user or an item.

    Args:
      users: `[N, d]`.
      items: `[M, d]`.
      pairs: `[P, 2]`, rows of users and items.
    """
    units = [_units(np.asarray(table, np.float64)) for table in (users, items)]
    found = [
        1.0 - np.einsum("pd,pd->p", units[0][part[:, 0]], units[1][part[:, 1]])
        for part in (pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK))
    ]
    return np.concatenate(found) if found else np.zeros(0)


def _units(table: Floats) -> Floats:
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units: Floats = np.divide(table, norms, out=np.zeros_like(table), where=norms > 0)
    return units


def label_difference(distances: Floats, labels: npt.NDArray[Any]) -> float:
    """How much farther negatives are than positives, in standard deviations; NaN labels are left out.

    A value below 0 means that the model gives the product a negative weight, so that near pairs are the negatives.
    """
    seen = ~np.isnan(labels)
    positive = labels[seen] > 0.5
    spread = float(np.std(distances[seen])) if seen.any() else 0.0
    if spread == 0 or positive.all() or not positive.any():
        return 0.0
    own = distances[seen]
    return float((own[~positive].mean() - own[positive].mean()) / spread)


def percentiles(distances: Floats) -> Floats:
    """The share of all pairs that are nearer, `[P]` between 0 and 1, so that spaces of different scale compare."""
    from scipy import stats  # takes long to load

    ranks = stats.rankdata(distances)
    places: Floats = (ranks - 0.5) / len(distances)
    return places


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contradictory:
    """Pairs that are near in one task and far in another one, by single-task models.

    Attributes:
      near_first: Indices of the pairs that are near in the first task and far in the second.
      near_second: Indices of those near in the second and far in the first.
    """

    near_first: npt.NDArray[np.int64]
    near_second: npt.NDArray[np.int64]


def contradictory_pairs(first: Floats, second: Floats, *, share: float) -> Contradictory:
    """Selects pairs whose percentile is at most `share` in one task, and at least `1 - share` in the other (§7.3).

    Args:
      first: Percentiles of all pairs in the first task's own model, `[P]`.
      second: Those in the second task's.
      share: Below one half.

    Raises:
      ValueError: If share is not between 0 and 1/2, or no pair is left in one direction.
    """
    if not 0 < share < 0.5:
        raise ValueError(f"share must lie between 0 and 1/2. Received: {share}.")
    near_first = np.flatnonzero((first <= share) & (second >= 1 - share))
    near_second = np.flatnonzero((second <= share) & (first >= 1 - share))
    if not (len(near_first) and len(near_second)):
        raise ValueError(
            f"Of {len(first):,} pairs none is among the nearest {share:.0%} of one task and the farthest of the other: "
            "the tasks do not contradict each other, or their models have not learned it. Take more pairs, or a larger "
            "share."
        )
    return Contradictory(near_first=near_first, near_second=near_second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Separation:
    """How well a space separates the two kinds of contradictory pairs for a task.

    Attributes:
      value: Probability that a pair which is near in the task is nearer than one which is far: 1 for the task's own
        space, 1/2 for a space without information, below 1/2 for one that serves the other task.
      p_value: p-value of the two-sided Mann-Whitney test against 1/2, as if pairs were independent.
    """

    value: float
    p_value: float


def separation(near: Floats, far: Floats) -> Separation:
    """Mann-Whitney's U divided by the number of pairs of pairs.

    One space has one distance for a pair, so its separations for two tasks sum to 1: a model whose tasks share all
    embeddings cannot have both above one half. That is the entanglement.

    Args:
      near: Distances, in the space, of the pairs that are near in the task.
      far: Distances of those that are far.
    """
    from scipy import stats  # takes long to load

    found = stats.mannwhitneyu(far, near, alternative="two-sided")
    # Where all distances are equal, newer versions of SciPy give NaN.
    p_value = 1.0 if np.isnan(found.pvalue) else float(found.pvalue)
    return Separation(value=float(found.statistic) / (len(near) * len(far)), p_value=p_value)


def best_separations(of_spaces: Mapping[str, tuple[Separation, Separation]]) -> tuple[float, float]:
    """The best separation of each task among the spaces of a model; their sum is 1 for a model of one space."""
    first, second = (max(both[task].value for both in of_spaces.values()) for task in (0, 1))
    return first, second
