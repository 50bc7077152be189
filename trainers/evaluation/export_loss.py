"""What a smaller model costs at export: AUC, NE and predictions on records, against the model as trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.models.metrics import BinaryEvaluator, RegressionEvaluator
from fullrank.models.serving.compact import table_size
from fullrank.trainers.evaluation.score import score_batches
from fullrank.trainers.evaluation.scored_input import RecordInput
from fullrank.trainers.training.records import ReadingConfig

_STATISTICS: Final = ("auc", "ne", "rmse")
_BEFORE, _AFTER = "before/", "after/"


class LossTooLargeError(ValueError):
    """A smaller model predicts worse, or otherwise, than its limits allow."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What was done to the model, and the largest loss that is accepted for it.

    Attributes:
      flag: The flag that asked for it, with its value.
      before: The model as trained, in a word, such as `float32`: the suffix of its statistics' names.
      auc: By how much the AUC of a task may fall.
      difference: By how much a prediction may differ, relative to those above 1; `None` where predictions are meant to.
    """

    flag: str
    before: str
    auc: float
    difference: float | None = None


class _Both:
    """Scores batches by two models."""

    def __init__(self, before: Ranker, after: Ranker) -> None:
        self.schema: Schema = before.schema
        self._models = {_BEFORE: before, _AFTER: after}

    def __call__(self, batch: dict[str, tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        answers = {prefix: model(batch, training=training) for prefix, model in self._models.items()}
        return {prefix + task: values for prefix, scores in answers.items() for task, values in scores.items()}


def measured_loss(
    before: Ranker,
    after: Ranker,
    *,
    change: Change,
    source: RecordInput,
    config: ReadingConfig,
    cache: Path,
    weight: str | None,
) -> dict[str, Any]:
    """Scores a split by both models.

    Args:
      before: The model as trained.
      after: The smaller one, of the same columns and tasks.
      change: What was done to it.
      source: The split.
      config: How it is read.
      cache: Where repaired copies of bad files are kept.
      weight: Column of sample weights, or `None`.

    Returns:
      JSON values: `records`, `table_bytes` and `table_bytes_BEFORE`, where BEFORE is `change.before`, and for each of
      `tasks` `auc`, `ne`, `rmse` and the same with `_BEFORE`, `None` where undefined, `examples`, and `difference`, the
      largest one of a prediction, relative to those above 1.
    """
    evaluators = {prefix: _evaluators(before) for prefix in (_BEFORE, _AFTER)}
    differences = dict.fromkeys(before.wiring.tasks, 0.0)
    keep = tuple(dict.fromkeys((*before.outputs.rows.label_columns, *(() if weight is None else (weight,)))))
    with source.batches(config, cache=cache) as batches:
        both = _Both(before, after)
        for kept, scores in score_batches(both, batches, keep=keep, examples=source.examples, what="comparing"):
            labels = dict(zip(before.wiring.tasks, before.outputs.rows.labels(kept).numpy().T, strict=True))
            weights = example_weights(kept, weight)
            for prefix, of_tasks in evaluators.items():
                for task, evaluator in of_tasks.items():
                    evaluator.update(labels=labels[task], scores=scores[prefix + task], weights=weights)
            for task in differences:
                exact = scores[_BEFORE + task]
                gaps = np.abs(scores[_AFTER + task] - exact) / np.maximum(1.0, np.abs(exact))
                # A NaN stays one, and is refused.
                differences[task] = float(np.maximum(differences[task], np.max(gaps, initial=0.0)))
    results = {prefix: {t: e.result() for t, e in of.items()} for prefix, of in evaluators.items()}
    return {
        "records": source.title,
        f"table_bytes_{change.before}": table_size(before),
        "table_bytes": table_size(after),
        "tasks": {
            task: {
                **_statistics(results[_BEFORE][task], results[_AFTER][task], named=change.before),
                "difference": difference,
            }
            for task, difference in differences.items()
        },
    }


def check_loss(measured: Mapping[str, Any], *, change: Change) -> None:
    """Refuses a loss above the limits.

    Raises:
      LossTooLargeError: With one line.
    """
    for task, found in measured["tasks"].items():
        before, after = found.get(f"auc_{change.before}") or 0.0, found.get("auc") or 0.0
        if before - after > change.auc:
            raise LossTooLargeError(
                f"{change.flag}: the AUC of {task} falls from {before:.5f} to {after:.5f}, by more than "
                f"--max_auc_loss={change.auc:g}. Nothing was exported."
            )
        if change.difference is not None and not found["difference"] <= change.difference:
            raise LossTooLargeError(
                f"{change.flag}: a prediction of {task} changes by {found['difference']:.3g}, more than "
                f"--max_difference={change.difference:g}. Nothing was exported."
            )


def loss_lines(measured: Mapping[str, Any], *, change: Change) -> str:
    """A table of the tasks, and the bytes of the tables."""
    rows = [{"task": task, **found} for task, found in measured["tasks"].items()]
    pairs = [name for statistic in _STATISTICS for name in (f"{statistic}_{change.before}", statistic)]
    columns = ["task", "examples", *pairs, "difference"]
    columns = [column for column in columns if any(row.get(column) is not None for row in rows)]
    before, after = measured[f"table_bytes_{change.before}"], measured["table_bytes"]
    return (
        f"{change.flag} against {change.before} on {measured['records']}:\n"
        f"{format_table(rows=rows, columns=columns)}\n"
        f"Tables: {before:,} bytes ({change.before}), now {after:,} ({after / max(1, before):.2f} of it)."
    )


def _evaluators(model: Ranker) -> dict[str, BinaryEvaluator | RegressionEvaluator]:
    labels = {task: model.outputs.label(task).type for task in model.wiring.tasks}
    return {
        task: BinaryEvaluator(task=task) if kind == "binary" else RegressionEvaluator(task=task)
        for task, kind in labels.items()
    }


def _statistics(before: Mapping[str, Any], after: Mapping[str, Any], *, named: str) -> dict[str, Any]:
    found: dict[str, Any] = {"examples": before["examples"]}
    for name in _STATISTICS:
        if name in before:
            found |= {f"{name}_{named}": before[name], name: after[name]}
    return found
