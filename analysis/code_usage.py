"""How the codes of a quantiser are used ([Meta] §3.1)."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class CodeUsage:
    """Of one level.

    Attributes:
      shares: `[C]`, of the examples that chose each code.
      usage: Share of the codes that were chosen at all.
      perplexity: exp of the entropy of the shares: C if all are chosen alike, 1 if only one is.
    """

    shares: npt.NDArray[np.float64]
    usage: float
    perplexity: float


def code_usage(counts: npt.ArrayLike) -> CodeUsage:
    """Reads usage and perplexity off how often each code was chosen.

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
