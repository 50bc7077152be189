"""Interaction information of pairs of features: what both tell together beyond what each tells alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from fullrank.analysis.information.feature_codes import Coded
from fullrank.analysis.information.mutual_information import miller_madow_bias, mutual_information


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two features and a label.

    Attributes:
      first: Name of a feature.
      second: Name of another one.
      joint: `MI((X1, X2), Y)` in nats, without its first-order bias.
      interaction: `MI((X1, X2), Y) - MI(X1, Y) - MI(X2, Y)`: positive where they tell more together (synergy), negative
        where they tell the same (redundancy).
    """

    first: str
    second: str
    joint: float
    interaction: float

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return dataclasses.asdict(self)


class PairCounts:
    """Counts all pairs at once, by a sparse product of examples and values.

    Each feature keeps its most frequent values; all others are pooled. Both terms of the interaction use the same ones.

    Args:
      features: The features to pair.
      values: Feature -> its codes that are kept, from a sample.
    """

    def __init__(self, features: Sequence[Coded], *, values: Mapping[str, npt.NDArray[np.int64]]) -> None:
        self._features = tuple(features)
        self._width = 1 + max(len(kept) for kept in values.values())
        self._index = []
        for feature in self._features:
            index = np.zeros(feature.size, np.int64)
            index[values[feature.name]] = 1 + np.arange(len(values[feature.name]))
            self._index.append(index)
        number = len(self._features) * self._width
        self._counts = np.zeros((2, number, number), np.int64)

    def add(self, codes: Sequence[npt.NDArray[np.int64]], labels: npt.NDArray[Any]) -> None:
        """Adds a batch: the codes of each feature, `[B]`, and labels, `[B]`, 0 or 1."""
        columns = [
            place * self._width + index[of_feature]
            for place, (index, of_feature) in enumerate(zip(self._index, codes, strict=True))
        ]
        stacked = np.stack(columns, axis=1)
        for label in (0, 1):
            some = stacked[labels == label]
            ends = np.arange(len(some) + 1) * len(columns)
            shape = (len(some), self._counts.shape[1])
            hot = scipy.sparse.csr_array((np.ones(some.size, np.int32), some.ravel(), ends), shape=shape)
            self._counts[label] += (hot.T @ hot).toarray()

    def result(self) -> list[Pair]:
        """All pairs, the largest interaction first."""
        number, width = len(self._features), self._width
        first, second = np.triu_indices(number, 1)
        counts = self._counts.reshape(2, number, width, number, width)
        # [pairs, V, V, 2]
        joint = np.moveaxis(counts[:, first, :, second, :], 1, -1)
        both = _corrected(joint.reshape(len(first), -1, 2))
        alone = _corrected(joint.sum(2)), _corrected(joint.sum(1))
        interaction = both - alone[0] - alone[1]
        names = [feature.name for feature in self._features]
        return [
            Pair(
                first=names[first[k]], second=names[second[k]], joint=float(both[k]), interaction=float(interaction[k])
            )
            for k in np.argsort(-interaction, kind="stable")
        ]


def _corrected(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return mutual_information(counts) - miller_madow_bias(counts)
