"""Hamming distance of HashIDs against the cosine of their vectors, measured on pairs."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.data.command.help import text_table

_BINS: Final = 20


class CosineBin(NamedTuple):
    """Pairs whose cosine lies between `low` and `high`.

    Attributes:
      low: Least cosine.
      high: Largest cosine.
      pairs: Their number.
      cosine: Their mean cosine.
      distance: Their mean Hamming distance.
      deviation: Its standard deviation between pairs.
      expected: Mean of `bits arccos(cosine) / pi`.
    """

    low: float
    high: float
    pairs: int
    cosine: float
    distance: float
    deviation: float
    expected: float


class Hamming(NamedTuple):
    """Summary of how well the distances reflect the vectors.

    Attributes:
      bits: Bits of a HashID.
      pairs: Number of pairs compared.
      mean_cosine: Over all pairs; far above 0 if all vectors lie in one cone.
      rank_correlation: Spearman's correlation of cosine and distance: -1 at best; `None` where one of them is constant.
      bins: The bins that contain pairs, in order of increasing cosine.
    """

    bits: int
    pairs: int
    mean_cosine: float
    rank_correlation: float | None
    bins: tuple[CosineBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self._asdict(), "bins": [entry._asdict() for entry in self.bins]}

    def table(self) -> str:
        """The bins as a table of text."""
        rows = [
            (
                f"{entry.low:+.1f} .. {entry.high:+.1f}",
                f"{entry.pairs:,}",
                f"{entry.distance:.2f}",
                f"{entry.expected:.2f}",
                f"{entry.deviation:.2f}",
            )
            for entry in self.bins
        ]
        header = ("cosine", "pairs", "mean distance", f"{self.bits} arccos/pi", "deviation")
        return text_table(header, rows, right=range(1, len(header)))


def measure_hamming(vectors: npt.NDArray[np.float64], bits: npt.NDArray[np.integer]) -> Hamming:
    """Compares all pairs of a sample.

    Args:
      vectors: `[n, D]`, n >= 2, finite and not zero; centred, if the bits were made of centred ones.
      bits: `[n, K]` of 0 and 1.
    """
    from scipy import stats  # takes long to load

    scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True)
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    first, second = np.triu_indices(len(vectors), k=1)
    cosine = np.clip(unit @ unit.T, -1.0, 1.0)[first, second]
    # The signs of two codes agree at (K + product) / 2 positions.
    signs = 2.0 * bits - 1.0
    distance = ((bits.shape[1] - signs @ signs.T) / 2.0)[first, second]
    expected = bits.shape[1] * np.arccos(cosine) / math.pi
    varied = len(cosine) > 1 and np.ptp(cosine) > 0 and np.ptp(distance) > 0
    places = np.minimum(((cosine + 1.0) * (_BINS / 2)).astype(int), _BINS - 1)
    bins = []
    for place in np.unique(places).tolist():
        inside = places == place
        bins.append(
            CosineBin(
                low=place * 2 / _BINS - 1,
                high=(place + 1) * 2 / _BINS - 1,
                pairs=int(inside.sum()),
                cosine=float(cosine[inside].mean()),
                distance=float(distance[inside].mean()),
                deviation=float(distance[inside].std()),
                expected=float(expected[inside].mean()),
            )
        )
    return Hamming(
        bits=bits.shape[1],
        pairs=len(cosine),
        mean_cosine=float(cosine.mean()),
        rank_correlation=float(stats.spearmanr(cosine, distance).statistic) if varied else None,
        bins=tuple(bins),
    )
