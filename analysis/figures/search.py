"""The figure of a search over flags: the value of each trial, the best so far, and the importance of each flag."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, shortened, side_by_side


def draw_search(
    *,
    values: Mapping[int, float],
    pruned: Sequence[int],
    importances: Mapping[str, float],
    maximize: bool,
    path: str | os.PathLike[str],
) -> None:
    """Draws values by trial on the left and importances of flags on the right.

    Args:
        values: trial -> value, of completed trials; at least one.
        pruned: trials that were stopped early, shown as ticks on the axis.
        importances: flag -> share of the variance of the values; may be empty.
        maximize: whether larger values are better.
        path: the PNG to write.
    """
    numbers = np.array(sorted(values))
    found = np.array([values[number] for number in numbers])
    best = np.maximum.accumulate(found) if maximize else np.minimum.accumulate(found)
    with side_by_side(path=path, widths=(3.0, 2.0), width=9.5, height=3.8) as (left, right):
        left.plot(numbers, found, "o", color=GREY, markersize=4, label="trial")
        left.step(numbers, best, where="post", color=BLUE, label="best so far")
        if pruned:
            bottom = np.full(len(pruned), 0.02)
            transform = left.get_xaxis_transform()
            left.plot(pruned, bottom, "|", color=ORANGE, transform=transform, label="pruned")
        left.set_xlabel("trial")
        left.set_ylabel("monitored metric")
        # A single bad trial must not hide the differences between the good ones.
        low, high = np.quantile(found, (0.0, 0.9)) if not maximize else np.quantile(found, (0.1, 1.0))
        margin = 0.1 * (high - low) or 0.01 * abs(high) or 0.01
        left.set_ylim(low - margin, high + margin)
        left.set_title("Validation by trial")
        left.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1)
        ordered = sorted(importances.items(), key=lambda item: item[1])
        right.barh([shortened(name) for name, _ in ordered], [share for _, share in ordered], color=BLUE)
        right.set_xlim(0.0, 1.0)
        right.grid(visible=False, axis="y")
        right.set_title("Share of the differences by flag")
        if not ordered:
            right.text(0.5, 0.5, "too few trials", ha="center", va="center", transform=right.transAxes, color=GREY)
            right.set_yticks([])
