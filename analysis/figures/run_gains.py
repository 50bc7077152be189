"""The gains of several runs over a baseline, with intervals, per task."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.comparisons.paired_gain import SegmentGain
from fullrank.analysis.figures.style import GREY, VERDICT_COLORS, figure, shortened


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
