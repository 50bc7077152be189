"""Replays the exposures that two runs, or several pairs of runs, would have chosen ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.analysis.comparisons.paired import PairedDifference, paired_difference
from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.policies.exposure_replay import (
    ExposurePenalty,
    ExposureReplay,
    equal_share_penalty,
    exposure_replay,
)
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.trainers.evaluation.score import ScoredRows, score_batches
from fullrank.trainers.insight.configs import ReplayExposuresConfig
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run
from fullrank.trainers.training.records import explained, read_split

_WINDOW: Final = "/window"
"""A name that no column has, because it would be a path."""
_HOUR: Final = {"s": 3_600, "ms": 3_600_000}
Replayed = tuple[ExposureReplay, ExposurePenalty]
_COLUMNS: Final = (
    "run",
    "requests",
    "share_baseline",
    "share",
    "change",
    "low",
    "high",
    "auc_baseline",
    "auc",
    "auc_penalty",
)


def replay_exposures(config: ReplayExposuresConfig) -> dict[str, Any]:
    """Scores, ranks, prints a table, and writes JSON if requested.

    Returns:
      `pairs`, one `ExposureReplay` each as a dictionary, and over them the paired differences `share` (of the shares of
      repeats, in points), `change` (in percent of the baseline's share), `auc` over the baseline's, and `auc_penalty`
      over that of the baseline with the penalty on repeats that leads to the same share of them.

    Raises:
      ValueError: If runs and records do not fit together.
    """
    first = load_run(config.run[0])
    schema = read_schema(config.data if config.data is not None else first.config.data.data)
    request = config.request or (schema.keys[0].name if schema.keys else None)
    _check(config, schema, request)
    task, found = config.task, list[Replayed]()
    for path, baseline in zip(config.run, config.baseline, strict=True):
        runs = [load_run(path), load_run(baseline)]
        task = task or _common_task(runs)
        found.append(
            _replay(config, schema, [_scored(config, schema, run, task, request) for run in runs], task, request)
        )
    rows = [
        {"run": path, **dataclasses.asdict(pair), "penalty": other.penalty, "auc_penalty": other.auc}
        for path, (pair, other) in zip(config.run, found, strict=True)
    ]
    over = _over_pairs(found)
    result: dict[str, Any] = {"task": task, "pairs": [_plain(row) for row in rows]}
    result |= {name: _plain(dataclasses.asdict(entry)) for name, entry in over.items()}
    if config.json is not None:
        write_json(result, Path(config.json))
    each = f"{request}, {config.window_hours:g} hours" if config.window_hours else str(request)
    print(
        f"Repeats among the first {config.slots} of each request ({each}) by {task}, {config.split} split of "
        f"{schema.name}:"
    )
    print(format_table(rows=rows, columns=_COLUMNS))
    if len(found) > 1:
        print(f"Over {len(found)} pairs, with Student's 95 % intervals:")
        for name, words in (
            ("share", "share of repeats, points"),
            ("change", "share of repeats, % of the baseline's"),
            ("auc", "AUC"),
            ("auc_penalty", "AUC above that of a penalty on repeats with the same share of them"),
        ):
            entry = over[name]
            print(f"  {words}: {entry.mean:+.4f} [{entry.low:+.4f}, {entry.high:+.4f}]")
    return result


def _check(config: ReplayExposuresConfig, schema: Schema, request: str | None) -> None:
    columns = {column.name: column for column in schema.columns}
    if config.repeated not in columns or columns[config.repeated].dtype != "float32":
        raise SchemaError(
            f"--repeated={config.repeated}: {schema.directory} has no such column of numbers; convert and prepare "
            "--exposures=user:ad write one."
        )
    if request is None or request not in columns or columns[request].form != "one":
        known = ", ".join(name for name, column in columns.items() if column.form == "one")
        raise SchemaError(f"--request={request}: expected a column with one id per example. There are: {known}.")
    if config.window_hours and schema.time is None:
        raise SchemaError(f"--window_hours={config.window_hours:g}: {schema.directory} has no time; give 0.")


def _common_task(runs: list[LoadedRun]) -> str:
    ours, theirs = (run.model.wiring.tasks for run in runs)
    both = [task for task in ours if task in theirs and runs[0].model.outputs.label(task).type == "binary"]
    if not both:
        raise ValueError(
            f"{runs[0].directory.path} predicts {', '.join(ours)}, {runs[1].directory.path} {', '.join(theirs)}: there "
            "is not a binary task to rank by."
        )
    return both[0]


def _scored(
    config: ReplayExposuresConfig, schema: Schema, run: LoadedRun, task: str, request: str | None
) -> ScoredRows:
    if task not in run.model.wiring.tasks:
        raise ValueError(f"--task={task}: {run.directory.path} predicts {', '.join(run.model.wiring.tasks)}.")
    keep = [task, config.repeated, str(request), *([str(schema.time)] if config.window_hours else [])]
    check_same_columns(run.schema, schema, columns=[column.name for column in run.schema.input_columns])
    rows = ScoredRows()
    with explained(schema, splits=[config.split]):
        batches = read_split(config, schema, split=config.split, cache=run.directory.repaired)
        examples, what = schema.split(config.split).examples, str(run.directory.path)
        kept_columns = tuple(dict.fromkeys(keep))
        for kept, scores in score_batches(run.model, batches, keep=kept_columns, examples=examples, what=what):
            window = np.zeros(len(kept[task]), np.int64)
            if config.window_hours:
                window = kept[str(schema.time)] // max(1, round(config.window_hours * _HOUR[schema.time_unit]))
            rows.add({**{name: kept[name] for name in keep[:3]}, _WINDOW: window}, scores)
    return rows


def _replay(
    config: ReplayExposuresConfig, schema: Schema, rows: list[ScoredRows], task: str, request: str | None
) -> Replayed:
    new, old = rows
    person = new.keys(str(request))
    labels: npt.NDArray[Any] = new.numbers(task)
    repeated = new.numbers(config.repeated) > 0
    pairs = np.stack([person, new.keys(_WINDOW)], axis=1)
    requests = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    found = exposure_replay(
        requests=requests,
        repeated=repeated,
        baseline=old.scores(task),
        scores=new.scores(task),
        labels=labels,
        keys=person,
        slots=config.slots,
        draws=config.draws,
    )
    penalty = equal_share_penalty(
        requests=requests,
        repeated=repeated,
        scores=old.scores(task),
        labels=labels,
        share=found.share,
        slots=config.slots,
    )
    return found, penalty


def _over_pairs(found: list[Replayed]) -> dict[str, PairedDifference]:
    def over(values: list[float], baseline: list[float]) -> PairedDifference:
        return paired_difference(values=values, baseline=baseline)

    pairs = [pair for pair, _ in found]
    aucs = [pair.auc for pair in pairs]
    return {
        "share": over([100 * pair.share for pair in pairs], [100 * pair.share_baseline for pair in pairs]),
        "change": over([pair.change for pair in pairs], [0.0] * len(pairs)),
        "auc": over(aucs, [pair.auc_baseline for pair in pairs]),
        "auc_penalty": over(aucs, [penalty.auc for _, penalty in found]),
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}
