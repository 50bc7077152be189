"""Sections made from scored examples: gain over the baseline, metrics, calibration."""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.analysis.comparisons.paired_gain import PairedGain, paired_gain
from fullrank.analysis.comparisons.runs import RunComparison
from fullrank.analysis.figures.gains import run_gains
from fullrank.analysis.figures.reliability import reliability_diagram
from fullrank.analysis.figures.segments import segment_gains
from fullrank.analysis.pages.answers import bias_with_reach
from fullrank.analysis.pages.page import Section, Table
from fullrank.analysis.pages.pictures import Picture, Pictures

_MOST_FIGURES: Final = 6
"""Number of tasks, or of tasks and segments, that get their own figure; the others are in the table."""
_GROUPS: Final = 15
_DRAWS: Final = 300


def baseline_section(found: RunComparison | None, *, run: str, pictures: Pictures) -> Section:
    """Gains over the baseline, of all examples and of the segments."""
    title = "Against the baseline"
    if found is None:
        return Section(name="baseline", title=title, missing=[("No baseline was given: add --baseline=RUN.", "")])
    overall = {task: {run: runs[run][""].overall} for task, runs in found.gains.items()}
    drawn = [
        pictures.drawn(
            functools.partial(run_gains, gains=overall, baseline=found.baseline, names={run: ""}),
            caption="A line right of zero is a gain on all examples; the sign of a grey one is not known.",
            alt="NE gain of each task",
        )
    ]
    by_segment = [
        (task, column, gain) for task, runs in found.gains.items() for column, gain in runs[run].items() if column
    ]
    known = [entry for entry in by_segment if any(not math.isnan(s.gain) for s in entry[2].segments)]
    for task, column, gain in sorted(known, key=_lowest)[:_MOST_FIGURES]:
        drawn.append(
            pictures.drawn(
                functools.partial(
                    segment_gains,
                    overall=gain.overall,
                    segments=gain.segments,
                    segment=column,
                    task=task,
                    max_lines=20,
                ),
                caption=f"Each value of {column} separately, the largest on top. Orange is a loss.",
                alt=f"NE gain of {task} by {column}",
            )
        )
    rows = [
        (task, column, s.segment, s.examples, s.keys, s.ne_baseline, s.ne, s.gain, s.low, s.high, s.verdict)
        for task, column, gain in by_segment
        for s in gain.segments
    ]
    columns = ("task", "segment", "value", "examples", "keys", "NE baseline", "NE", "gain %", "low", "high", "verdict")
    by = f"bootstrap over {found.key}" if found.key else "bootstrap over examples"
    lead = f"NE gain over {found.baseline} in percent on {found.title}, intervals of 95 % by a {by}."
    few = f" Figures are of the {_MOST_FIGURES} lowest." if len(known) > _MOST_FIGURES else ""
    tables = [Table(columns=columns, rows=tuple(rows), caption="Every segment", folded=True)] if rows else []
    left = [(f"Not compared: {task}, because {why}.", "") for task, why in found.left_out.items()]
    return Section(name="baseline", title=title, lead=lead + few, pictures=drawn, tables=tables, missing=left)


def metrics_section(found: RunComparison, *, run: str) -> Section:
    """Metrics of each task and segment, NE with an interval."""
    rows, by_segment = [], []
    scored = found.scored
    for task, runs in found.metrics.items():
        metrics, label = runs[run], scored.labels[task]
        groups = {"": None, **scored.segments}
        against = {column: _against_rate(found, task, run, values) for column, values in groups.items()}
        whole = against[""].overall
        rate = float(np.average(label[~np.isnan(label)]))
        rows.append((task, metrics.examples, rate, metrics.auc, metrics.ne, *_ne_interval(whole), metrics.bias))
        for column, gain in against.items():
            if column:
                by_segment += [(task, column, s.segment, s.examples, s.ne, *_ne_interval(s)) for s in gain.segments]
    tables = [
        Table(
            columns=("task", "examples", "rate", "AUC", "NE", "NE low", "NE high", "bias"),
            rows=tuple(rows),
            caption="NE is 1 if only the base rate is known, lower is better; bias is predicted / observed.",
        )
    ]
    if by_segment:
        columns = ("task", "segment", "value", "examples", "NE", "low", "high")
        caption = "Every segment, NE by its own base rate"
        tables.append(Table(columns=columns, rows=tuple(by_segment), caption=caption, folded=True))
    return Section(name="metrics", title="Metrics", lead=f"On {found.title}.", tables=tables)


def calibration_section(found: RunComparison, *, run: str, pictures: Pictures) -> Section:
    """Reliability of the tasks, the most biased first."""
    scored = found.scored
    biases = {task: bias_with_reach(scored.labels[task], s[run], scored.weights) for task, s in scored.scores.items()}
    ranked = sorted(biases, key=lambda task: -abs(biases[task][0] - 1.0) if math.isfinite(biases[task][0]) else 1.0)
    drawn: list[Picture] = []
    rows = []
    for task in ranked:
        predicted, observed, sizes = groups_of(scored.labels[task], scored.scores[task][run])
        error = float(np.average(np.abs(predicted - observed), weights=sizes))
        rows.append((task, int(sizes.sum()), *biases[task], error))
        if len(drawn) < _MOST_FIGURES:
            drawn.append(
                pictures.drawn(
                    functools.partial(
                        reliability_diagram,
                        mean_prediction=predicted,
                        observed_rate=observed,
                        examples=sizes,
                        task=task,
                    ),
                    caption="Points on the dashed line are right; below it the model predicts too much.",
                    alt=f"Observed against predicted rate of {task}",
                )
            )
    table = Table(
        columns=("task", "examples", "predicted / observed", "±", f"mean error of {_GROUPS} groups"),
        rows=tuple(rows),
        caption="The interval is the effect of chance on the labels if every prediction is right.",
    )
    few = (
        f" Figures are of the {_MOST_FIGURES} most biased of {len(ranked)} tasks."
        if len(ranked) > _MOST_FIGURES
        else ""
    )
    lead = f"Examples in {_GROUPS} groups of equal size by prediction.{few}"
    return Section(name="calibration", title="Calibration", lead=lead, pictures=drawn, tables=[table])


def group_error(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
    """Mean error of groups beyond that of right predictions, relative to the base rate; NaN without a positive."""
    predicted, observed, sizes = groups_of(labels, scores)
    error = np.average(np.abs(predicted - observed), weights=sizes)
    # The mean of |N(0, s)| is sqrt(2 / pi) s.
    chance = np.average(np.sqrt(2 / np.pi * predicted * (1 - predicted) / sizes), weights=sizes)
    rate = float(np.average(observed, weights=sizes))
    return max(0.0, float(error - chance)) / rate if rate > 0 else math.nan


def groups_of(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> tuple[Any, Any, Any]:
    """Mean prediction, observed rate and size of groups of neighbouring predictions."""
    seen = ~np.isnan(labels)
    order = np.argsort(scores[seen], kind="stable")
    parts = [part for part in np.array_split(order, _GROUPS) if len(part)]
    y, p = labels[seen], scores[seen]
    return (
        np.array([p[part].mean() for part in parts]),
        np.array([y[part].mean() for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )


def _against_rate(found: RunComparison, task: str, run: str, segments: npt.NDArray[Any] | None) -> PairedGain:
    """The gain over the base rate, whose interval is that of NE."""
    scored = found.scored
    label = scored.labels[task]
    return paired_gain(
        labels=label,
        baseline=np.full(len(label), np.nanmean(label)),
        predictions=scored.scores[task][run],
        segments=segments,
        keys=scored.keys,
        weights=scored.weights,
        draws=_DRAWS,
    )


def _ne_interval(gain: Any) -> tuple[float, float]:
    scale = gain.ne_baseline
    return scale * (1.0 - gain.high / 100.0), scale * (1.0 - gain.low / 100.0)


def _lowest(entry: tuple[str, str, PairedGain]) -> float:
    found = entry[2].worst()
    return math.inf if found is None else found.gain
