"""Keeps, for each task, the weights with which its own validation metric was best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tf_keras as keras

from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.training.callbacks.early_stopping import is_better


class BestOfTasks(keras.callbacks.Callback):
    """Compares each task's validation metric with its best so far; its memory is `state.progress`.

    Tasks of one model often reach their best at different epochs: a task with few labels overfits while another one
    still improves. The monitored mean selects one epoch for all of them. This callback also keeps an epoch per task,
    among those that the run trains; it does not prolong training. A validation in which the metric of a task is
    undefined does not count for that task.

    Args:
      state: The run's counters.
      monitors: Task -> name in the logs, such as `val_like_ne`.
      save: Called with a task that has a new best.
    """

    def __init__(self, state: TrainingState, *, monitors: Mapping[str, str], save: Callable[[str], None]) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._monitors = dict(monitors)
        self._save = save

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves the weights for every task that has improved."""
        progress = self._state.progress
        for task, monitor in self._monitors.items():
            value = float((logs or {})[monitor])
            best = progress.best_of.get(task)
            if math.isfinite(value) and (best is None or is_better(value, best, monitor)):
                progress.best_of[task], progress.best_epoch_of[task] = value, epoch + 1
                self._save(task)
