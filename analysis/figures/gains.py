"""Gains over a baseline with intervals: those of runs per task, and mean differences of the variants of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.comparisons.paired import PairedDifference
from fullrank.analysis.comparisons.paired_gain import SegmentGain
from fullrank.analysis.figures.style import BLUE, GREY, VERDICT_COLORS, figure, shortened


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


def run_gains(
    *,
    gains: Mapping[str, Mapping[str, SegmentGain]],
    baseline: str,
    path: str | os.PathLike[str],
    names: Mapping[str, str] | None = None,
) -> None:
    """Draws one line per task and run: blue if the interval is above zero, orange if below, grey if it contains zero.

    Args:
      gains: Task -> run -> gain over all examples, or over one segment.
      baseline: Name of the baseline run.
      path: the file to write.
      names: Run -> its label on the axis; its name if not given. An empty label shows only the task.
    """
    lines = [(task, run, entry) for task, runs in gains.items() for run, entry in runs.items()]
    with figure(path=path, width=7.5, height=1.4 + 0.3 * len(lines)) as axes:
        axes.axvline(0.0, color=GREY, linewidth=1.0)
        labels = []
        for place, (task, run, entry) in enumerate(lines):
            color = VERDICT_COLORS[entry.verdict]
            axes.plot([entry.low, entry.high], [place, place], color=color, solid_capstyle="butt")
            axes.plot([entry.gain], [place], "o", color=color, markersize=5)
            shown = run if names is None else names.get(run, run)
            labels.append(shortened(f"{task}, {shown}" if shown else task))
        axes.set_yticks(range(len(lines)), labels, fontsize=9)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"NE gain over {shortened(baseline)} [%], 95 % bootstrap interval")
