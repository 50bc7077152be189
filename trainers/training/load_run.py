"""Loads a run: its configuration, its schema, and its model with the best weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.training.build_model import build_model
from fullrank.trainers.training.calibrate_run import restore_calibrated


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run with its model.

    Attributes:
      directory: The run directory.
      config: Its configuration.
      schema: Schema of the data it was trained on, with the features that the model reads; its directory is the run's
        own.
      model: The model with the best weights, calibrated if the run was, not compiled.
    """

    directory: RunDirectory
    config: RunConfig
    schema: Schema
    model: Ranker


def load_run(path: str | Path, *, best_of: str | None = None) -> LoadedRun:
    """Loads a run, finished or still training; needs only its directory. A finished one is calibrated.

    Args:
      path: The run directory.
      best_of: Task whose own best weights are loaded, in place of those that are best by `--monitor`.

    Raises:
      ValueError: If there is no run, it has no weights yet, or it has not kept those of the task.
    """
    directory = RunDirectory(path)
    config, schema = directory.config(), directory.schema()
    model = build_model(config.model, schema)
    if best_of is not None:
        _check_kept(best_of, tasks=model.wiring.tasks, config=config, run=directory)
    restore_calibrated(model, directory, best_of=best_of)
    return LoadedRun(directory, config, model.schema, model)


def _check_kept(task: str, *, tasks: Sequence[str], config: RunConfig, run: RunDirectory) -> None:
    if task not in tasks:
        raise ValueError(f"--best_of={task}: {run.path} has no such task. Its tasks: {', '.join(tasks)}.")
    if not config.train.best_of_tasks:
        raise ValueError(
            f"--best_of={task}: {run.path} keeps one best epoch for all tasks: train it with --best_of_tasks."
        )
    if not any(run.best_of(task).glob("*.index")):
        raise ValueError(
            f"--best_of={task}: {run.path} has no validation yet in which the metric of {task} was defined."
        )
