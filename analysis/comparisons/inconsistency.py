"""The inconsistency of a model's scores for items that differ only in their ids ([Tencent] §3.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def inconsistency(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Mean over pairs of `|p - q| / ((p + q) / 2)`: 0 if all near-duplicates have equal scores, at most 2.

    Args:
      first: `[N]`, p: predictions, not negative.
      second: `[N]`, q: predictions of the same examples with the item replaced by a near-duplicate.

    Raises:
      ValueError: If lengths differ or a prediction is negative.
    """
    p, q = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(f"Pairs need two arrays [N]. Received: {p.shape} and {q.shape}.")
    if (p < 0).any() or (q < 0).any():
        raise ValueError("Predictions cannot be negative.")
    if not p.size:
        return float("nan")
    middle = (p + q) / 2
    return float(np.mean(np.divide(np.abs(p - q), middle, out=np.zeros_like(middle), where=middle > 0)))
