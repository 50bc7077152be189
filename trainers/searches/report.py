"""Writes the report of a search: a table of all trials, the best flags, and a figure."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import optuna

from fullrank.analysis.figures.search import draw_search
from fullrank.data.files.write_aside import write_text
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.searches.trial import EPOCH, ERROR, RUN, Task

_SHOWN: Final = 10
_LEAST_FOR_IMPORTANCE: Final = 4


def write_report(study: optuna.Study, trials: Sequence[optuna.trial.FrozenTrial], *, task: Task) -> str:
    """Writes `trials.csv`, `best.json` and `search.png`; returns the summary for the user.

    Args:
      study: The study.
      trials: Its finished trials, of which at least one is complete.
      task: The searched task.
    """
    output = Path(task.output)
    write_text(output / "trials.csv", _table(trials, task=task))
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    best = study.best_trial
    drawn = [f"--{name}={value}" for name, value in best.params.items()]
    run = best.user_attrs[RUN]
    write_json(
        {
            "trial": best.number,
            "value": best.value,
            "epoch": best.user_attrs.get(EPOCH),
            "flags": [*task.flags, *drawn],
            "run": run,
        },
        output / "best.json",
    )
    importances = _importances(study, complete)
    draw_search(
        values={trial.number: trial.value for trial in complete if trial.value is not None},
        pruned=[trial.number for trial in trials if trial.state == optuna.trial.TrialState.PRUNED],
        importances=importances,
        maximize=task.direction == "maximize",
        path=output / "search.png",
    )
    ranked = sorted(complete, key=lambda trial: trial.value or 0.0, reverse=task.direction == "maximize")
    lines = [f"  {trial.value:.5f}  trial {trial.number:<4} {_flags(trial.params)}" for trial in ranked[:_SHOWN]]
    counts = {state: sum(trial.state.name == state for trial in trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
    shares = ", ".join(f"{name} {share:.2f}" for name, share in importances.items())
    weights = f"Share of the differences by flag (fANOVA): {shares}." if shares else "Too few trials for importances."
    commands = [
        f"  fullrank evaluate --run={shlex.quote(run)} --split=test",
        f"  fullrank export --run={shlex.quote(run)} --output=export",
    ]
    return "\n".join(
        [
            f"{counts['COMPLETE']} trials complete, {counts['PRUNED']} pruned, {counts['FAIL']} failed. The best:",
            *lines,
            weights,
            f"The best run is {run}:",
            *commands,
            f"Everything is in {output}: trials.csv, best.json, search.png.",
        ]
    )


def _flags(values: Mapping[str, Any]) -> str:
    return " ".join(f"--{name}={value}" for name, value in values.items())


def _table(trials: Sequence[optuna.trial.FrozenTrial], *, task: Task) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [dimension.flag for dimension in task.space]
    writer.writerow(["trial", "state", "value", "best_epoch", "last_epoch", "seconds", *names, "error"])
    for trial in trials:
        seconds = f"{trial.duration.total_seconds():.1f}" if trial.duration else ""
        attributes = trial.user_attrs
        row = [trial.number, trial.state.name.lower(), trial.value, attributes.get(EPOCH), trial.last_step, seconds]
        writer.writerow([*row, *(trial.params.get(name) for name in names), attributes.get(ERROR)])
    return text.getvalue()


def _importances(study: optuna.Study, complete: Sequence[optuna.trial.FrozenTrial]) -> dict[str, float]:
    """Share of the variance of the values that each flag explains; empty if there are too few trials or no variance."""
    if len(complete) < _LEAST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    return dict(
        optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
    )
