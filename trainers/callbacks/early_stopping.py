"""Keeps the best weights, and stops when validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import tf_keras as keras

from fullrank.trainers.training_state import TrainingState

MONITORED: Final = ("auc", "log_loss", "ne", "ece")
"""Statistics of which one is better the larger (AUC) or the smaller (the others) it is."""
MONITORED_OF_VALUES: Final = ("rmse", "mae")
_MEAN: Final = "val_mean_"


class EarlyStopping(keras.callbacks.Callback):
    """Compares the monitored validation metric with the best so far; its memory is `state.progress`.

    Keras's own callback forgets its best value whenever `fit` starts, so an interrupted run would wait anew.

    Args:
      state: The run's counters.
      monitor: Name in the logs, such as `val_click_auc`, or `val_mean_auc` for the mean of all tasks; `None` without
        validation: the last epoch is the best.
      patience: Epochs without a new best after which to stop; `None` never stops.
      save_best: Called when there is a new best.
    """

    def __init__(
        self, state: TrainingState, *, monitor: str | None, patience: int | None, save_best: Callable[[], None]
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._monitor = monitor
        self._patience = patience
        self._save_best = save_best

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves the weights or counts an epoch without improvement."""
        progress = self._state.progress
        if self._monitor is None:
            progress.best_epoch = epoch + 1
            self._save_best()
            return
        value = _value(logs or {}, self._monitor)
        if progress.best_epoch == 0 or _better(value, progress.best, self._monitor):
            progress.best = value if math.isfinite(value) else None
            progress.best_epoch, progress.stale = epoch + 1, 0
            self._save_best()
            return
        progress.stale += 1
        if self._patience is not None and progress.stale >= self._patience:
            progress.stopped = f"no better {self._monitor} in {progress.stale} epoch(s)"
            self.model.stop_training = True


def _value(logs: Mapping[str, Any], monitor: str) -> float:
    """The monitored value; a mean leaves out tasks for which the statistic is undefined."""
    if not monitor.startswith(_MEAN):
        return float(logs[monitor])
    ending = monitor.removeprefix(_MEAN)
    values = [float(value) for name, value in logs.items() if name.startswith("val_") and name.endswith(f"_{ending}")]
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _better(value: float, best: float | None, monitor: str) -> bool:
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best if monitor.endswith("_auc") else value < best


def monitored(name: str, *, tasks: tuple[str, ...], values: tuple[str, ...] = ()) -> str:
    """The name of what `--monitor` names: a statistic of the first task, `mean_statistic` or `task_statistic`.

    Args:
      name: As the flag gives it.
      tasks: Binary tasks.
      values: Tasks with a real value.

    Raises:
      ValueError: If there is no such statistic.
    """
    kinds = [(of, statistics) for of, statistics in ((tasks, MONITORED), (values, MONITORED_OF_VALUES)) if of]
    known = {f"{task}_{s}": f"val_{task}_{s}" for of, statistics in kinds for task in of for s in statistics}
    first = {s: f"val_{of[0]}_{s}" for of, statistics in kinds for s in statistics}
    mean = {f"mean_{s}": f"{_MEAN}{s}" for _, statistics in kinds for s in statistics}
    found = {**mean, **known, **first}.get(name)
    if found is None:
        raise ValueError(f"--monitor={name}: no such metric. Known: {', '.join([*first, *mean, *known])}.")
    return found
