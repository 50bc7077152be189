"""Sections made from scored examples: gain over the baseline, metrics, calibration."""

from __future__ import annotations

import functools
import math
from typing import Any, Final, NamedTuple

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
        rate = _rate(label, scored.weights)
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
        groups = groups_of(scored.labels[task], scored.scores[task][run], scored.weights)
        rows.append((task, found.metrics[task][run].examples, *biases[task], groups.error))
        if len(drawn) < _MOST_FIGURES:
            drawn.append(
                pictures.drawn(
                    functools.partial(
                        reliability_diagram,
                        mean_prediction=groups.predicted,
                        observed_rate=groups.observed,
                        examples=groups.sizes,
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
    equal = "size" if scored.weights is None else "weight"
    lead = f"Examples in {_GROUPS} groups of equal {equal} by prediction.{few}"
    return Section(name="calibration", title="Calibration", lead=lead, pictures=drawn, tables=[table])


class Groups(NamedTuple):
    """Groups of neighbouring predictions, `[G]`.

    Attributes:
      predicted: Mean prediction.
      observed: Observed rate.
      weights: Sum of the weights.
      sizes: Examples; with weights, as many of one weight as vary as much (Kish 1965).
    """

    predicted: npt.NDArray[np.float64]
    observed: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """Mean distance of prediction and rate."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.weights))


def group_error(labels: npt.NDArray[Any], scores: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> float:
    """Mean error of groups beyond that of right predictions, relative to the base rate; NaN without a positive."""
    groups = groups_of(labels, scores, weights)
    # The mean of |N(0, s)| is sqrt(2 / pi) s.
    deviations = np.sqrt(2 / np.pi * groups.predicted * (1 - groups.predicted) / groups.sizes)
    chance = float(np.average(deviations, weights=groups.weights))
    rate = float(np.average(groups.observed, weights=groups.weights))
    return max(0.0, groups.error - chance) / rate if rate > 0 else math.nan


def groups_of(labels: npt.NDArray[Any], scores: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Groups:
    """Groups of equal weight, thus of equal size without weights, in order of prediction."""
    weight = np.ones(len(labels)) if weights is None else weights
    seen = ~np.isnan(labels) & (weight > 0.0)
    order = np.flatnonzero(seen)[np.argsort(scores[seen], kind="stable")]
    y, p, w = labels[order], scores[order], weight[order]
    up_to = np.cumsum(w)
    # An example is in the group that holds the middle of its weight.
    group = (_GROUPS * (up_to - w / 2) / up_to[-1]).astype(np.int64)
    _, first = np.unique(group, return_index=True)
    sums, positives, predicted, squares = (np.add.reduceat(each, first) for each in (w, w * y, w * p, w * w))
    return Groups(predicted / sums, positives / sums, sums, sums**2 / squares)


def _rate(labels: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> float:
    seen = ~np.isnan(labels)
    return float(np.average(labels[seen], weights=None if weights is None else weights[seen]))


def _against_rate(found: RunComparison, task: str, run: str, segments: npt.NDArray[Any] | None) -> PairedGain:
    """The gain over the base rate, whose interval is that of NE."""
    scored = found.scored
    label = scored.labels[task]
    return paired_gain(
        labels=label,
        baseline=np.full(len(label), _rate(label, scored.weights)),
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
