"""The gain of several runs over one, with intervals, for each task."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.comparisons.paired_gain import SegmentGain
from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, figure, shortened

_COLORS = {"better": BLUE, "worse": ORANGE, "not resolved": GREY, "too few keys": GREY}


def run_gains(
    *,
    gains: Mapping[str, Mapping[str, SegmentGain]],
    baseline: str,
    path: str | os.PathLike[str],
    names: Mapping[str, str] | None = None,
) -> None:
    """Draws a line per task and run: blue where the interval lies above zero, orange below, grey where it holds zero.

    Args:
      gains: Task -> run -> gain over all examples, or over the segment that matters.
      baseline: Name of the run that is compared with.
      path: the file to write.
      names: Run -> what it is called on the axis; its name where not given. An empty name leaves the task alone.
    """
    lines = [(task, run, entry) for task, runs in gains.items() for run, entry in runs.items()]
    with figure(path=path, width=7.5, height=1.4 + 0.3 * len(lines)) as axes:
        axes.axvline(0.0, color=GREY, linewidth=1.0)
        labels = []
        for place, (task, run, entry) in enumerate(lines):
            color = _COLORS[entry.verdict]
            axes.plot([entry.low, entry.high], [place, place], color=color, solid_capstyle="butt")
            axes.plot([entry.gain], [place], "o", color=color, markersize=5)
            shown = run if names is None else names.get(run, run)
            labels.append(shortened(f"{task}, {shown}" if shown else task))
        axes.set_yticks(range(len(lines)), labels, fontsize=9)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"NE gain over {shortened(baseline)} [%], 95 % bootstrap interval")
