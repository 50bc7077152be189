"""Warnings of a run: too few tasks, steps or labels to learn from, undefined metrics, repeated exposures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.models.heads.task_outputs import TaskOutputs
from fullrank.models.wirings.wiring import Wiring
from fullrank.trainers.config.config import DataConfig, RunConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.training.callbacks.monitors import NE_CALIBRATED, watched
from fullrank.trainers.training.label_classes import LARGEST_LOOK, LabelClasses, look_at_labels
from fullrank.trainers.training.records import batch_size_of, read_split

_FITTED = "train"
"""The split whose statistics the schema holds."""


_FEW_STEPS: Final = 20
_SMALL_BATCH: Final = 64
_FOR_SEVERAL: Final = ("shared_bottom", "omoe", "mmoe", "ple", "me_mmoe", "ame", "stem")


def label_warnings(
    config: DataConfig,
    schema: Schema,
    *,
    outputs: TaskOutputs,
    monitor: str | None,
    validation: Callable[[], tf.data.Dataset | None],
    cache: Path,
) -> list[str]:
    """Checks the labels of the training and the validation split, which takes a batch or two if none are missing.

    Args:
      config: The splits, and how they are read.
      schema: Schema of the records.
      outputs: The tasks that are trained, the main task first.
      monitor: Name of the monitored metric in the logs, `None` without validation.
      validation: Gives the batches of the validation split that `fit` reads, too: a second pipeline would take time to
        build.
      cache: Where repaired copies of bad files are kept.

    Returns:
      Warnings for the user.

    Raises:
      ValueError: If no task has a label that counts to be trained on.
    """
    said = []
    if not _known_to_be_whole(config, schema, outputs=outputs):
        batches = read_split(config, schema, split=config.train_split, cache=cache)
        classes, place = _look(batches, schema, split=config.train_split, outputs=outputs)
        if not any(found.weighted for found in classes.values()):
            lacks = "; ".join(f"{task}: {found.lack}" for task, found in classes.items())
            raise ValueError(
                f"There is nothing to train on in {place}: {lacks}. Check the labels"
                f"{'' if schema.weight is None else f' and at the weights, column {schema.weight!r},'} "
                f"with fullrank inspect --data={config.data}."
            )
        said += [
            f"{task}: {found.lack} in {place}, so there is nothing to learn for this task."
            for task, found in classes.items()
            if found.lack
        ]
    if monitor is not None and (validated := validation()) is not None:
        classes, place = _look(validated, schema, split=config.validation_split, outputs=outputs)
        said += _of_validation(classes, monitor=monitor, place=place)
    return said


def _of_validation(classes: Mapping[str, LabelClasses], *, monitor: str, place: str) -> list[str]:
    lacking = {task: found.lack for task, found in classes.items() if found.lack}
    if not lacking:
        return []
    said = [
        f"{task}: {lack} in {place}, so that {_undefined(classes[task])} are undefined."
        for task, lack in lacking.items()
    ]
    of, statistic = watched(monitor, tasks={task: found.is_binary for task, found in classes.items()})
    # It is defined where the one before calibration is.
    statistic = "ne" if statistic == NE_CALIBRATED else statistic
    without = [task for task in of if statistic not in classes[task].defined]
    if without and len(without) < len(of):
        said.append(f"The monitored mean of {statistic} leaves out {', '.join(without)}.")
    elif without:
        # The same task with another statistic first, then other tasks.
        others = [*of, *(task for task in classes if task not in of)]
        names = [f"{task}_{name}" for task in others for name in classes[task].defined]
        use = f"take --monitor={names[0]}, which is defined" if names else "name another --validation_split"
        said.append(
            f"{monitor}, which --monitor names, is undefined in every epoch and cannot choose one: the weights of the "
            f"last epoch will be kept. To choose an epoch, {use}."
        )
    return said


def _look(
    batches: tf.data.Dataset, schema: Schema, *, split: str, outputs: TaskOutputs
) -> tuple[dict[str, LabelClasses], str]:
    kinds = {task: outputs.label(task).type == "binary" for task in outputs.tasks}
    classes, examples = look_at_labels(
        _labels(batches, outputs=outputs, weight=schema.weight), tasks=kinds, weight=schema.weight
    )
    which = "first " if examples >= LARGEST_LOOK else ""
    return classes, f"the {which}{examples:,} examples of split {split!r}"


def _labels(batches: tf.data.Dataset, *, outputs: TaskOutputs, weight: str | None) -> Iterator[dict[str, Any]]:
    """The label of each task, and the weight, of batch after batch; without a graph of its own."""
    for batch in batches:
        found = outputs.by_task(outputs.rows.labels(batch)) | ({} if weight is None else {weight: batch[weight]})
        yield {name: values.numpy() for name, values in found.items()}


def _undefined(classes: LabelClasses) -> str:
    if not classes.weighted:
        return "all its metrics"
    return "AUC and NE" if classes.positive else "AUC, NE and bias"


def _known_to_be_whole(config: DataConfig, schema: Schema, *, outputs: TaskOutputs) -> bool:
    """Whether the schema's statistics show that no task lacks a kind of label."""
    if schema.weight is not None or config.train_split != _FITTED or outputs.rows.of_domains:
        return False
    labels = [outputs.label(task) for task in outputs.tasks]
    return all(
        label.observed is not None and label.mean is not None and (label.type != "binary" or 0.0 < label.mean < 1.0)
        for label in labels
    )


def one_task_warning(config: ModelConfig, schema: Schema, wiring: Wiring) -> list[str]:
    """A warning if `--model` is for several tasks, but there is only one, in one scenario."""
    if config.model not in _FOR_SEVERAL or len(wiring.heads) > 1:
        return []
    (task,) = wiring.tasks
    others = [label.name for label in schema.labels if label.name != task]
    more = f"add others to --tasks (the data also has {', '.join(others)})" if others else "the data has no other label"
    instead = "single" if len(wiring.sets) == 1 else "me"
    return [
        f"--model={config.model} is for several tasks, but {task} is the only one: {more}, or take --model={instead}."
    ]


def few_steps_warning(config: RunConfig, *, steps: int) -> list[str]:
    """A warning if a large batch leaves so few steps that hardly anything is learned.

    A run that starts from another one has learned already.

    Args:
      config: Configuration of the run.
      steps: Steps per epoch.
    """
    total, size = steps * config.train.epochs, batch_size_of(config.data)
    if total >= _FEW_STEPS or size <= _SMALL_BATCH or config.warm_start.start is not None:
        return []
    smaller = max(_SMALL_BATCH, 2 ** max(0, (size * steps // _FEW_STEPS).bit_length() - 1))
    return [
        f"--batch_size={size} and --epochs={config.train.epochs} make {total} step{'' if total == 1 else 's'} in all, "
        f"in which little is learned: take a smaller batch, such as --batch_size={smaller}, or more epochs."
    ]


def undefined_metrics(values: Mapping[str, Any], *, tasks: Sequence[str], prefix: str = "val_") -> dict[str, str]:
    """Name -> reason, for every metric of `tasks` that is not a finite number.

    The reason follows from a task's own mean label, which is undefined without a label that counts; for a binary task
    it is 0 without a positive and 1 without a negative label.

    Args:
      values: Metrics of an epoch; undefined ones are `None` or not finite.
      tasks: Names of the tasks.
      prefix: Prefix of `task_statistic`.
    """
    found = {}
    for task in tasks:
        start = f"{prefix}{task}_"
        missing = [name for name, value in values.items() if name.startswith(start) and not _finite(value)]
        is_binary = f"{start}base_rate" in values
        level = values.get(f"{start}base_rate" if is_binary else f"{start}mean_label")
        found.update(dict.fromkeys(missing, _reason(level, is_binary=is_binary)))
    return found


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(float(value))


def _reason(level: Any, *, is_binary: bool) -> str:
    if not _finite(level):
        return "no label that counts"
    if float(level) <= 0.0:
        return "no positive label" if is_binary else "labels whose sum is not positive"
    return "no negative label" if is_binary and float(level) == 1.0 else "predictions that are not numbers"


def exposure_report(metrics: Mapping[str, Any], *, tasks: Sequence[str]) -> str:
    """One line about the weights, and one about the bias of each task.

    Args:
      metrics: Metrics of an epoch, as in `metrics.jsonl`.
      tasks: Binary tasks.
    """
    share, weight = metrics.get("repeat_share"), metrics.get("repeat_weight")
    if share is None or weight is None:
        return ""
    mean = 1.0 + share * (weight - 1.0)
    lines = [
        f"Repetition weight: {share:.1%} of the rows repeat an exposure, their mean w_rep is {weight:.3f}; of all rows "
        f"{mean:.3f}."
    ]
    for task in tasks:
        debias, before, after = (metrics.get(name) for name in (f"{task}_debias", f"{task}_bias", f"val_{task}_bias"))
        shown = [f"w_debias {_shown(debias)}", f"predicted / observed {_shown(before)} in training"]
        shown += [f"{_shown(after)} in validation"] if f"val_{task}_bias" in metrics else []
        lines.append(f"  {task}: {', '.join(shown)}.")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
