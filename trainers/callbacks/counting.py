"""Keeps the counters of a run."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from fullrank.trainers.run.training_state import TrainingState


class Counting(keras.callbacks.Callback):
    """Counts steps and epochs in `state.progress`; has to come before the callbacks that read or save it."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the step, or the several steps of one call of the compiled function."""
        progress = self._state.progress
        progress.global_step += batch + 1 - progress.step
        progress.step = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Counts the epoch."""
        progress = self._state.progress
        progress.epoch, progress.step = epoch + 1, 0
