"""Loads a run: its configuration, its schema, and its model with the best weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import restore_best
from fullrank.trainers.training.build_model import build_model


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run with its model.

    Attributes:
      directory: The run directory.
      config: Its configuration.
      schema: Schema of the data it was trained on, with the features that the model reads; its directory is the run's
        own.
      model: The model with the best weights, not compiled.
    """

    directory: RunDirectory
    config: RunConfig
    schema: Schema
    model: Ranker


def load_run(path: str | Path) -> LoadedRun:
    """Loads a run, finished or still training; needs only its directory.

    Raises:
      ValueError: If there is no run, or it has no weights yet.
    """
    directory = RunDirectory(path)
    config, schema = directory.config(), directory.schema()
    model = build_model(config.model, schema)
    restore_best(model, directory.best)
    return LoadedRun(directory, config, model.schema, model)
