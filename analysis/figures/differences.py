"""Differences from a baseline with their intervals, one line per variant."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.comparisons.paired import PairedDifference
from fullrank.analysis.figures.style import BLUE, GREY, figure


def difference_intervals(
    *, differences: Mapping[str, PairedDifference], baseline: str, statistic: str, path: str | os.PathLike[str]
) -> None:
    """Draws the mean difference of every variant, its interval, and the line of no difference.

    Args:
        differences: variant -> difference, drawn from top to bottom.
        baseline: name of the baseline.
        statistic: name of the statistic, with its unit.
        path: the PNG to write.

    Raises:
        ValueError: if there is no variant.
    """
    if not differences:
        raise ValueError(f"no figure of {statistic}: there is nothing to compare with {baseline!r}")
    pairs = {difference.pairs for difference in differences.values()}
    with figure(path=path, width=7.0, height=1.2 + 0.32 * len(differences)) as axes:
        axes.axvline(0.0, color=GREY, linewidth=1.0)
        for place, difference in enumerate(differences.values()):
            axes.plot([difference.low, difference.high], [place, place], color=BLUE, solid_capstyle="butt")
            axes.plot([difference.mean], [place], "o", color=BLUE, markersize=5)
        axes.set_yticks(range(len(differences)), list(differences))
        axes.set_ylim(len(differences) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{statistic}, difference from {baseline}")
        seeds = "/".join(str(number) for number in sorted(pairs))
        axes.set_title(f"{statistic}: mean over {seeds} paired seeds, 95 % interval")
