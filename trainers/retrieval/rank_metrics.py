"""What the ranks of positives in a catalogue tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def rank_metrics(ranks: Floats, *, at: Sequence[int]) -> dict[str, float | None]:
    """Means over queries with one positive each.

    With r the rank of the positive from 1: `recall@K = [r <= K]`, `ndcg@K = [r <= K] / log2(1 + r)`, `mrr = 1 / r`. A
    positive that has the score of others has the mean of the ranks that they share.

    Args:
      ranks: `[Q]`.
      at: Values of K.

    Returns:
      `None` for each without a query.
    """
    if not len(ranks):
        return {**{f"{name}@{k}": None for k in at for name in ("recall", "ndcg")}, "mrr": None}
    found: dict[str, float | None] = {}
    for k in at:
        inside = ranks <= k
        found[f"recall@{k}"] = float(inside.mean())
        found[f"ndcg@{k}"] = float(np.where(inside, 1.0 / np.log2(1.0 + ranks), 0.0).mean())
    found["mrr"] = float((1.0 / ranks).mean())
    return found


def exposure_metrics(
    shown: npt.NDArray[np.int64], popularity: Floats, positives: npt.NDArray[np.int64]
) -> dict[str, float]:
    """What share of the catalogue is shown, and how popular it is.

    Args:
      shown: How often each ad is among the first K of a query, `[N]`.
      popularity: Positives of each ad in training, `[N]`.
      positives: Places of the positives of the queries; N where one is not in the catalogue.

    Returns:
      `coverage`: share of the ads that are shown to anyone. `popularity_bias`: mean percentile of popularity of what is
      shown, minus that of the positives; 0 shows popular ads as often as they are wanted, and a larger number more.
    """
    number = len(popularity)
    order = np.sort(popularity)
    percentile = (np.searchsorted(order, popularity, "left") + np.searchsorted(order, popularity, "right")) / (
        2 * number
    )
    known = positives[positives < number]
    wanted = float(percentile[known].mean()) if len(known) else 0.5
    return {
        "coverage": float((shown > 0).mean()),
        "popularity_bias": float((percentile * shown).sum() / max(shown.sum(), 1)) - wanted,
    }
