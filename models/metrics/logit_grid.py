"""The grid of logits on which binary metrics count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fullrank.models.metrics.array_ops import ArrayOps

# Probabilities are clipped to [CLIP, 1 - CLIP] for the log loss and the grid: one confident mistake then costs at most
# 16.1 nats, and 0 and 1, which float32 and bfloat16 scores do reach, have a finite logit.
CLIP = 1e-7
LOGIT_CLIP = math.log((1.0 - CLIP) / CLIP)


@dataclass(frozen=True)
class LogitGrid:
    """Bins of equal width in the logit over [-limit, limit], and one open bin at each end.

    Click rates are concentrated near zero, where equal steps in the probability would put most rows into one bin; equal
    steps in the logit are equal *relative* steps there. With the default 16,384 bins a step is 0.002 in the logit, that
    is 0.2 % of a small probability. Rows of one bin count as tied in the AUC, so it is off by at most half the share of
    pairs (one positive, one negative) that share a bin, and by far less on average, as such pairs are ordered both
    ways.

    Args:
        bins: Number of bins, both open ends included; at least 3.
        limit: Logit at which the open ends begin, at most 16.1 (the logit of the clipped probability).

    Raises:
        ValueError: If `bins` or `limit` is out of range.
    """

    bins: int = 2**14
    limit: float = 16.0

    def __post_init__(self) -> None:
        if self.bins < 3:
            raise ValueError(f"a logit grid needs at least 3 bins; received bins={self.bins}")
        if not 0.0 < self.limit <= LOGIT_CLIP:
            raise ValueError(f"a logit grid's limit lies in (0, {LOGIT_CLIP:.2f}]; received limit={self.limit}")

    @property
    def step(self) -> float:
        """Width of an inner bin."""
        return 2.0 * self.limit / (self.bins - 2)

    def index(self, logits: Any, *, ops: ArrayOps) -> Any:
        """Returns the bin of each logit, `[B]` -> integers `[B]` in 0..bins-1; logits are finite."""
        return ops.cast_int(ops.clip(ops.floor((logits + self.limit) / self.step) + 1.0, 0.0, self.bins - 1.0))
