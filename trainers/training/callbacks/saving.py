"""Saves a checkpoint now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from fullrank.trainers.callbacks.milestones import Milestones
from fullrank.trainers.run.training_state import TrainingState


class Saving(keras.callbacks.Callback):
    """Saves after every epoch, and within one after so many minutes or steps; has to be the last callback.

    The last step of an epoch is not saved by itself: the epoch with its validation is, right after.

    Args:
      state: The run's counters.
      save: Writes a checkpoint.
      check: Looks at the logs and raises if the state should not be saved.
      steps_per_epoch: Steps of an epoch.
      minutes: Save when the last checkpoint is this old.
      steps: Save every so many steps of an epoch; `None` for time alone.
    """

    def __init__(
        self,
        state: TrainingState,
        *,
        save: Callable[[], Any],
        check: Callable[[Any], None],
        steps_per_epoch: int,
        minutes: float,
        steps: int | None,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._save = save
        self._check = check
        self._steps_per_epoch = steps_per_epoch
        self._seconds = minutes * 60.0
        self._due = Milestones(steps) if steps is not None else None
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts steps from the start of the epoch."""
        if self._due is not None:
            self._due.start(self._state.progress.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if it is time."""
        progress = self._state.progress
        if progress.step >= self._steps_per_epoch:
            return
        due = self._due is not None and self._due.passed(progress.step)
        if due or time.monotonic() - self._saved_at >= self._seconds:
            self._check(logs)
            self._now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        self._now()

    def _now(self) -> None:
        self._save()
        self._saved_at = time.monotonic()
