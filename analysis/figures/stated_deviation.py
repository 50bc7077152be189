"""A model's stated uncertainty: the distribution of its deviations, and predictions of groups sorted by them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from fullrank.analysis.comparisons.paired import wilson_interval
from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, panels


def stated_deviation(
    *,
    quantiles: Sequence[float],
    groups: Sequence[Mapping[str, float]],
    task: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws the quantiles of the deviation, and predicted and observed rates of examples sorted by it.

    Args:
      quantiles: Quantiles of the deviation of the logit over examples, evenly spaced from 0 to 1.
      groups: Of equal size, the most certain first: `examples` that count, and means of `predicted` and `observed`.
      task: Name for the title.
      path: The file to write.
    """
    size, predicted, observed = (
        np.array([group[name] for group in groups], np.float64) for name in ("examples", "predicted", "observed")
    )
    # At the middle of the examples of each group: groups are of equal size, whatever their examples weigh.
    place = 100 * (np.arange(len(size)) + 0.5) / len(size)
    low, high = wilson_interval(rate=observed, examples=size)
    with panels(path=path, rows=1, columns=2, width=8.4, height=3.7) as (spread, rates):
        spread.plot(np.linspace(0, 100, len(quantiles)), quantiles, color=BLUE)
        spread.set_ylim(bottom=0.0)
        spread.set_xlabel("examples, the most certain first [%]")
        spread.set_ylabel("standard deviation of the logit")
        rates.vlines(place, low, high, color=BLUE, linewidth=1.4, alpha=0.6)
        rates.plot(place, observed, "o", color=BLUE, markersize=5, label="observed, 95 % interval")
        rates.plot(place, predicted, "s", color=ORANGE, markersize=5, fillstyle="none", label="predicted")
        rates.axhline(0.0, color=GREY, linewidth=0.8)
        rates.set_xlabel("examples, the most certain first [%]")
        rates.set_ylabel(f"rate of {task}")
        rates.legend(loc="best", fontsize=9)
        spread.figure.suptitle(f"Stated uncertainty of {task}", fontsize=11)
