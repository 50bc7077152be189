"""Compares a run with another one on the same records: NE gain on all examples and on every segment ([Meta] §4)."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Final

from fullrank.analysis import PairedGain, SegmentGain, paired_gain
from fullrank.analysis.comparisons.key_bootstrap import LEAST_KEYS
from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.schema.schema import Schema
from fullrank.trainers.evaluation.configs import EvaluateConfig
from fullrank.trainers.evaluation.score import ScoredRows, score_batches
from fullrank.trainers.evaluation.scored_input import ScoredInput
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun

LARGEST: Final = 500
"""The number of values of a segment that are compared individually; the others form one segment."""
OTHERS: Final = "(others)"
_SHOWN: Final = 10
_COLUMNS: Final = ("examples", "keys", "ne_baseline", "ne", "gain", "low", "high", "verdict")

Gains = dict[str, dict[str, PairedGain]]
"""Task -> segment column -> comparison; the column is empty where there is no segment."""


def check_baseline(baseline: LoadedRun, *, run: LoadedRun, schema: Schema) -> tuple[str, ...]:
    """The binary tasks that both runs predict.

    Raises:
      ValueError: If there is none, or the records lack what the baseline reads.
    """
    theirs = baseline.model.wiring.tasks
    ours = [task for task in run.model.wiring.tasks if run.model.outputs.label(task).type == "binary"]
    tasks = tuple(task for task in ours if task in theirs)
    if not tasks:
        raise ValueError(
            f"--baseline={baseline.directory.path} predicts {', '.join(theirs)}, the run "
            f"{', '.join(run.model.wiring.tasks)}: there is no binary task to compare."
        )
    check_same_columns(baseline.schema, schema, columns=[column.name for column in baseline.schema.input_columns])
    return tasks


def gains_over(
    baseline: LoadedRun,
    rows: ScoredRows,
    *,
    config: EvaluateConfig,
    source: ScoredInput,
    tasks: tuple[str, ...],
    weight: str | None,
    key: str | None,
    segments: tuple[str, ...],
) -> Gains:
    """Scores the same examples with the baseline and compares.

    Args:
      baseline: The run to compare with.
      rows: The run's predictions for the records of the split, with labels, weight, key and segments.
      config: How the records are read.
      source: The data that is scored.
      tasks: The tasks that both predict.
      weight: Column of sample weights, or `None`.
      key: Column whose values are independent of each other; `None` if every row is.
      segments: Columns to compare by.
    """
    old = ScoredRows()
    with source.batches(config, cache=baseline.directory.repaired) as batches:
        for kept, scores in score_batches(baseline.model, batches, keep=(), examples=source.examples, what="baseline"):
            old.add(kept, scores)

    def compared(task: str, segment: str) -> PairedGain:
        return paired_gain(
            labels=rows.numbers(task),
            baseline=old.scores(task),
            predictions=rows.scores(task),
            segments=rows.segments(segment, largest=LARGEST, others=OTHERS) if segment else None,
            keys=None if key is None else rows.keys(key),
            weights=None if weight is None else rows.weights(weight),
            columns=max(1, len(segments)),
        )

    observed = [task for task in tasks if rows.has_label(task, weight=weight)]
    return {task: {segment: compared(task, segment) for segment in segments or ("",)} for task in observed}


def describe(gains: Gains, *, min_keys: int) -> str:
    """A table with all examples and the largest segments, and a line on the worst segment of each task."""
    table, lines = [], []
    for task, by_segment in gains.items():
        overall = next(iter(by_segment.values())).overall
        table.append({"task": task, "segment": "all", **_shown(overall)})
        for segment, gain in by_segment.items():
            shown = gain.segments[:_SHOWN] if segment else ()
            table.extend({"task": task, "segment": f"{segment}={s.segment}", **_shown(s)} for s in shown)
        found = worst(by_segment, min_keys=min_keys)
        if found is not None:
            segment, s = found
            lines.append(f"worst segment of {task}: {s.describe_as_worst(f'{segment}={s.segment}')}")
        elif any(by_segment):
            lines.append(
                f"worst segment of {task}: not known, because no segment of both classes has {min_keys} keys. Choose "
                "coarser --segments, or more examples."
            )
        if overall.verdict == "too few keys":
            lines.append(f"{task}: {overall.keys:,} keys are too few for an interval, which needs {LEAST_KEYS}.")
    return "\n".join([format_table(rows=table, columns=("task", "segment", *_COLUMNS)), *lines])


def worst(by_segment: dict[str, PairedGain], *, min_keys: int) -> tuple[str, SegmentGain] | None:
    """Column and value with the least gain among those with an interval and enough keys; `None` if there is none."""
    found = [(segment, gain.worst(min_keys=min_keys)) for segment, gain in by_segment.items() if segment]
    known = [(segment, entry) for segment, entry in found if entry is not None]
    return min(known, key=lambda item: item[1].gain, default=None)


def to_json(by_segment: dict[str, PairedGain], *, baseline: str, min_keys: int) -> dict[str, Any]:
    """A task's comparison for JSON; undefined numbers are null."""
    lowest = worst(by_segment, min_keys=min_keys)
    return {
        "baseline": baseline,
        **_entry(next(iter(by_segment.values())).overall),
        "segments": {
            segment: {s.segment: _entry(s) for s in gain.segments} for segment, gain in by_segment.items() if segment
        },
        "worst": None
        if lowest is None
        else {
            "column": lowest[0],
            "value": lowest[1].segment,
            **_entry(lowest[1]),
            "verdict_of_all": lowest[1].verdict_of_all,
        },
    }


def draw(gains: Gains, *, directory: Path) -> None:
    """A figure for each task and segment in which a gain is defined."""
    # Matplotlib is loaded only to draw.
    from fullrank.analysis.figures import segment_gains

    for task, by_segment in gains.items():
        for segment, gain in by_segment.items():
            if segment and any(not math.isnan(s.gain) for s in gain.segments):
                segment_gains(
                    overall=gain.overall,
                    segments=gain.segments,
                    segment=segment,
                    task=task,
                    path=directory / f"{task}_{segment}_gain.png",
                )


def _shown(entry: SegmentGain) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _COLUMNS}


def _entry(entry: SegmentGain) -> dict[str, Any]:
    values = {**dataclasses.asdict(entry), "verdict": entry.verdict}
    del values["segment"]
    return {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in values.items()}
