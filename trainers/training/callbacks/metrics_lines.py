"""Writes metrics.jsonl while `fit` runs."""

from __future__ import annotations

import time
from typing import Any

import tf_keras as keras

from fullrank.trainers.callbacks.milestones import Milestones
from fullrank.trainers.run.metrics_log import MetricsLog
from fullrank.trainers.run.training_state import TrainingState


class MetricsLines(keras.callbacks.Callback):
    """A line every `every` steps with the metrics of the epoch so far, and one an epoch with those of validation.

    Losses are means over the examples of the epoch so far, and of the whole validation split.

    Args:
      log: The file.
      state: The run's counters.
      every: Steps between lines.
      batch_size: Examples a step, for the rate.
    """

    def __init__(self, log: MetricsLog, state: TrainingState, *, every: int, batch_size: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._log = log
        self._state = state
        self._due = Milestones(every)
        self._batch_size = batch_size
        self._logged = 0
        self._since = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Leaves the time of validation out of the rate."""
        self._due.start(self._state.progress.step)
        self._logged, self._since = self._state.progress.global_step, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes a line if it is time."""
        progress = self._state.progress
        if not self._due.passed(progress.step):
            return
        now = time.monotonic()
        rate = (progress.global_step - self._logged) * self._batch_size / max(now - self._since, 1e-9)
        values = {**(logs or {}), "examples_per_second": rate}
        self._log.append(kind="train", epoch=progress.epoch + 1, step=progress.global_step, values=values)
        self._logged, self._since = progress.global_step, now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the epoch's line."""
        values = dict(logs or {})
        rate = self.model.optimizer.learning_rate
        values["learning_rate"] = rate(self.model.optimizer.iterations) if callable(rate) else rate
        self._log.append(kind="epoch", epoch=epoch + 1, step=self._state.progress.global_step, values=values)
