"""NE gain over a baseline with its interval, one line a segment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from fullrank.analysis.comparisons.paired_gain import SegmentGain
from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, count, figure, shortened

_COLORS = {"better": BLUE, "worse": ORANGE, "not resolved": GREY, "too few keys": GREY}


def segment_gains(
    *,
    overall: SegmentGain,
    segments: Sequence[SegmentGain],
    segment: str,
    task: str,
    path: str | os.PathLike[str],
    max_lines: int = 30,
) -> None:
    """Draws the gain of all examples on top, then that of the largest segments, and the line of no gain.

    An interval is blue where it lies above zero, orange where it lies below, and grey where it holds zero. A
    gain of too few keys is a grey point without an interval.

    Args:
        overall: the gain over all examples.
        segments: the largest first; those without a defined gain are left out.
        segment: name of the column.
        task: name for the title.
        path: the PNG to write.
        max_lines: how many segments to draw at most; the title says if some are left out.

    Raises:
        ValueError: if no segment has a gain.
    """
    known = [entry for entry in segments if not np.isnan(entry.gain)]
    if not known:
        raise ValueError(f"no figure for segment {segment!r} of task {task!r}: no value has a gain")
    drawn = [overall, *known[:max_lines]]
    with figure(path=path, width=7.5, height=1.3 + 0.3 * len(drawn)) as axes:
        axes.axvline(0.0, color=GREY, linewidth=1.0)
        for place, entry in enumerate(drawn):
            color = _COLORS[entry.verdict]
            axes.plot([entry.low, entry.high], [place, place], color=color, solid_capstyle="butt")
            axes.plot([entry.gain], [place], "o", color=color, markersize=5)
        axes.axhline(0.5, color=GREY, linewidth=0.6)
        axes.set_yticks(
            range(len(drawn)),
            [f"{shortened(entry.segment, longest=24)}  ({count(entry.examples)})" for entry in drawn],
            fontsize=9,
        )
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_ylabel(f"{segment} (examples)")
        axes.set_xlabel("NE gain over the baseline [%], with its bootstrap interval")
        some = f", the {max_lines} largest of {len(known)} values" if len(known) > max_lines else ""
        axes.set_title(f"{task} by {segment}{some}")
