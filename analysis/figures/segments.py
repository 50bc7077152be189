"""A statistic, or the gain over a baseline with its interval, for every value of a segment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fullrank.analysis.comparisons.paired_gain import SegmentGain
from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, VERDICT_COLORS, count, figure, shortened

# Where a bar begins: the value of a model without skill (AUC, NE) or without bias; 0 for the others.
BASELINES = {"auc": 0.5, "gauc": 0.5, "ne": 1.0, "bias": 1.0}
_NAMES = {"auc": "AUC", "gauc": "GAUC", "ne": "normalised entropy", "ece": "calibration error", "log_loss": "log loss"}
_UNITS = {"bias": " (predicted / observed)", "log_loss": " [nats]"}


def segment_bars(
    *,
    values: Mapping[str, Mapping[str, Any]],
    segment: str,
    statistic: str,
    overall: float | None,
    task: str,
    path: str | os.PathLike[str],
    max_bars: int = 30,
) -> None:
    """Draws one bar per segment value, the largest segments on top, with the statistic over all examples.

    Args:
        values: segment value -> statistics, with `statistic` (None if undefined) and `examples`.
        segment: name of the segment.
        statistic: its name; bars begin at its entry in `BASELINES`.
        overall: the statistic over all examples; None leaves its line out.
        task: name for the title.
        path: the PNG to write.
        max_bars: how many values to draw at most; the title says if some are left out.

    Raises:
        ValueError: if there is no segment value.
    """
    if not values:
        raise ValueError(f"no figure for segment {segment!r} of task {task!r}: it has no value")
    ranked = sorted(values.items(), key=lambda item: (-item[1]["examples"], item[0]))
    drawn = ranked[:max_bars]
    baseline = BASELINES.get(statistic, 0.0)
    defined = [(place, entry[statistic]) for place, (_, entry) in enumerate(drawn) if entry[statistic] is not None]
    with figure(path=path, width=7.5, height=1.3 + 0.27 * len(drawn)) as axes:
        axes.axvline(baseline, color=GREY, linewidth=1.0)
        axes.barh(
            [place for place, _ in defined],
            [value - baseline for _, value in defined],
            left=baseline,
            height=0.7,
            color=BLUE,
        )
        # The numbers are in a separate column, where no line crosses them.
        for place, (_, entry) in enumerate(drawn):
            value = entry[statistic]
            axes.annotate(
                "not defined" if value is None else f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}",
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                color=GREY if value is None else "black",
            )
        if overall is not None:
            axes.axvline(overall, color=ORANGE, linewidth=1.4, linestyle="--", label=f"all examples: {overall:.4g}")
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
        axes.set_yticks(
            range(len(drawn)),
            [f"{shortened(label, longest=24)}  ({count(entry['examples'])})" for label, entry in drawn],
            fontsize=9,
        )
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_ylabel(f"{segment} (examples)")
        axes.set_xlabel(_NAMES.get(statistic, statistic.replace("_", " ")) + _UNITS.get(statistic, ""))
        some = f", the {max_bars} largest of {len(ranked)} values" if len(ranked) > max_bars else ""
        axes.set_title(f"{task} by {segment}{some}", pad=22 if overall is not None else 6)


def segment_gains(
    *,
    overall: SegmentGain,
    segments: Sequence[SegmentGain],
    segment: str,
    task: str,
    path: str | os.PathLike[str],
    max_lines: int = 30,
) -> None:
    """Draws the gain over all examples on top, then those of the largest segments, and the line of no gain.

    An interval is blue if it is above zero, orange if below, and grey if it contains zero. A gain over too few keys is
    a grey point without an interval.

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
            color = VERDICT_COLORS[entry.verdict]
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
