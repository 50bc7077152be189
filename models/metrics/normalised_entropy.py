"""Normalised entropy of logits that are all in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cross_entropies(*, labels: npt.NDArray[np.float64], logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`log(1 + e^f) - y f` of each row, in nats; without overflow, and for labels between 0 and 1."""
    return np.asarray(np.logaddexp(0.0, logits) - labels * logits)


def normalised_entropy(
    labels: npt.NDArray[np.floating], logits: npt.NDArray[np.floating], weights: npt.NDArray[np.floating] | None = None
) -> float:
    """Mean cross entropy over the entropy of these rows' base rate; needs labels of both kinds.

    Args:
      labels: `[n]`, 0 or 1.
      logits: `[n]`.
      weights: `[n]`; `None` for ones.
    """
    wanted, exact = labels.astype(np.float64), logits.astype(np.float64)
    loss = np.average(cross_entropies(labels=wanted, logits=exact), weights=weights)
    rate = np.average(wanted, weights=weights)
    return float(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))
