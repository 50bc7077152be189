"""One trial of a search: draws flags, trains, and reports the result to the study.

Trials run in worker processes. They share the study, which Optuna keeps in an SQLite file: values after each epoch, so
that a trial can be pruned, and the run directory of a trial, so that a killed one is resumed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import optuna

from fullrank.data.files.write_aside import remove_directory
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.flags import run_config
from fullrank.trainers.searches.space import Space
from fullrank.trainers.training.train_model import train_model

RUN: Final = "run"
ERROR: Final = "error"
EPOCH: Final = "best_epoch"
"""Attributes of a trial: its run directory, why it failed, and the epoch of its value."""
STUDY: Final = "search"
_FIXED: Final = ("--progress=none", "--tensorboard=false")
_WARM_UP_TRIALS: Final = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The inputs of a worker for a trial.

    Attributes:
      data: Directory of the records.
      output: Directory of the search.
      space: The flags that are drawn.
      flags: Flags of train that all trials share.
      direction: `minimize` or `maximize`.
      pruning: Whether trials below the median are stopped early.
      seed: Seed of the draw.
    """

    data: str
    output: str
    space: Space
    flags: tuple[str, ...]
    direction: str
    pruning: bool
    seed: int


def open_study(output: Path, *, direction: str, pruning: bool = False, seed: int = 0) -> optuna.Study:
    """Opens or creates the study of a search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_WARM_UP_TRIALS) if pruning else optuna.pruners.NopPruner()
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{(output / 'search.db').resolve()}", engine_kwargs={"connect_args": {"timeout": 120}}
    )
    return optuna.create_study(
        storage=storage,
        study_name=STUDY,
        direction=direction,  # type: ignore[arg-type]
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner,
    )


def config_of(task: Task, drawn: Sequence[str], *, run: str) -> RunConfig:
    """The configuration of a trial's run.

    Raises:
      ValueError: If a flag is unknown, a value is rejected, or the flags name other data or another directory.
    """
    config = run_config([f"--data={task.data}", f"--output={run}", *task.flags, *drawn, *_FIXED])
    if (config.data.data, config.train.output, config.train.overwrite) != (task.data, run, False):
        raise ValueError(
            "--data, --output and --overwrite have no place after `--`: all trials read --data of the search, and each "
            "has a directory of its own."
        )
    return config


def run_trial(task: Task) -> int:
    """Draws flags, trains and reports the result; returns the trial's number."""
    study = open_study(Path(task.output), direction=task.direction, pruning=task.pruning, seed=task.seed)
    trial = study.ask()
    run = trial.user_attrs.get(RUN) or str(Path(task.output) / "runs" / f"trial-{trial.number}")
    trial.set_user_attr(RUN, run)
    drawn = [f"--{dimension.flag}={dimension.draw(trial)}" for dimension in task.space]
    state, value = optuna.trial.TrialState.FAIL, None
    try:
        value = _trained(trial, task, drawn, run=run)
        state = optuna.trial.TrialState.COMPLETE
    except optuna.TrialPruned:
        state = optuna.trial.TrialState.PRUNED
    except Exception as error:  # one failed run must not end a search of many hours; the table shows what failed
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
    if state != optuna.trial.TrialState.COMPLETE:
        remove_directory(Path(run))
    study.tell(trial, value, state=state)
    return trial.number


def _trained(trial: optuna.Trial, task: Task, drawn: Sequence[str], *, run: str) -> float:
    def report(epoch: int, value: float) -> None:
        if math.isfinite(value):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resumed trial reports an epoch again, which Optuna remarks on
                trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    keras.backend.clear_session()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        result = train_model(config_of(task, drawn, run=run), command=["search", *drawn], after_epoch=report)
    trial.set_user_attr(EPOCH, result["best_epoch"])
    value = result["best"].get(result["monitor"])
    if value is None:
        raise ValueError(f"{result['monitor']} was undefined in every validation")
    return float(value)
