"""Keeps the best weights, lowers the learning rates and stops when validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tf_keras as keras

from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.training.callbacks.monitors import is_better, monitored_value


class EarlyStopping(keras.callbacks.Callback):
    """Compares the monitored validation metric with the best so far; its memory is `state.progress`.

    Keras's own callback forgets its best value whenever `fit` starts, so an interrupted run would start waiting again.
    A validation in which the metric is undefined (NaN), such as the AUC where no label is positive, is neither better
    nor worse: it does not count as an epoch without improvement, and its weights are kept only while no validation has
    had a defined value, so that a metric that is undefined throughout leaves the last weights.

    Args:
      state: The run's counters.
      monitor: Name in the logs, such as `val_click_auc`, or `val_mean_auc` for the mean of all tasks; `None` without
        validation: the last epoch is the best.
      patience: Epochs without a new best after which to stop; `None` never stops.
      save_best: Called when there is a new best.
      on_undefined: Called with epoch and logs after a validation in which the metric was undefined.
    """

    def __init__(
        self,
        state: TrainingState,
        *,
        monitor: str | None,
        patience: int | None,
        save_best: Callable[[], None],
        on_undefined: Callable[[int, Mapping[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._monitor = monitor
        self._patience = patience
        self._save_best = save_best
        self._on_undefined = on_undefined

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves the weights or counts an epoch without improvement."""
        progress = self._state.progress
        if self._monitor is None:
            progress.best_epoch = epoch + 1
            self._save_best()
            return
        value = monitored_value(logs or {}, self._monitor)
        if not math.isfinite(value):
            progress.undefined += 1
            if progress.best is None:
                progress.best_epoch = epoch + 1
                self._save_best()
            if self._on_undefined is not None:
                self._on_undefined(epoch + 1, logs or {})
            return
        if progress.best is None or is_better(value, progress.best, self._monitor):
            progress.best = value
            progress.best_epoch, progress.stale = epoch + 1, 0
            self._save_best()
            return
        progress.stale += 1
        if self._patience is not None and progress.stale >= self._patience:
            progress.stopped = f"no better {self._monitor} in {progress.stale} epoch(s)"
            self.model.stop_training = True


class Plateau(keras.callbacks.Callback):
    """Multiplies the learning rates by a factor after a number of validations without a new best, then counts again.

    Keras's `ReduceLROnPlateau` forgets its count whenever `fit` starts; this one keeps it in `state.progress`, and the
    rates are variables of the optimiser, so that a resumed run continues with both. A validation in which the metric is
    undefined does not count. It must come after `EarlyStopping`, which decides whether an epoch is the best.

    Args:
      state: The run's counters.
      monitor: Name in the logs, as in `EarlyStopping`.
      patience: Validations without a new best, since the last best or the last drop.
      factor: In (0, 1).
      say: Called with a message about a drop.
    """

    def __init__(
        self, state: TrainingState, *, monitor: str, patience: int, factor: float, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._monitor = monitor
        self._patience, self._factor = patience, factor
        self._say = say

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts the epoch, and lowers the rates if it is time."""
        progress = self._state.progress
        if progress.best_epoch == epoch + 1:
            progress.plateau = 0
            return
        if not math.isfinite(monitored_value(logs or {}, self._monitor)):
            return
        progress.plateau += 1
        if progress.plateau < self._patience:
            return
        progress.plateau = 0
        # The optimiser of the tables follows in proportion: see `GroupedOptimizer`.
        rate = self.model.optimizer.learning_rate
        rate.assign(rate * self._factor)
        self._say(
            f"epoch {epoch + 1}: no better {self._monitor} in {self._patience} epoch(s): learning rates times "
            f"{self._factor:g}."
        )


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
