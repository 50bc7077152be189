"""Ends a run whose loss is no longer a number."""

from __future__ import annotations

import math
from typing import Any

import tf_keras as keras

from fullrank.trainers.callbacks.milestones import Milestones
from fullrank.trainers.training_state import TrainingState


class TrainingDivergedError(ValueError):
    """The loss became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """Raises when the loss is not finite, before anything is saved from that state.

    It looks every `every` steps and at the end of an epoch: to look at each step would make Python wait for it, and
    weights that are NaN once stay so.

    Args:
      state: The run's counters.
      every: Steps between looks.
    """

    def __init__(self, state: TrainingState, *, every: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._every = every
        self._due = Milestones(every)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts steps from the start of the epoch."""
        self._due.start(self._state.progress.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks now and then."""
        if self._due.passed(self._state.progress.step):
            self.check(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the last step of the epoch."""
        self.check(logs)

    def check(self, logs: Any) -> None:
        """Looks at the loss in `logs`.

        Raises:
          TrainingDivergedError: If it is not finite.
        """
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        step = self._state.progress.global_step
        raise TrainingDivergedError(
            f"the loss became {loss} within the {self._every} steps before step {step}. Lower "
            "--learning_rate or --table_learning_rate, set --clip_norm, or look for extreme numbers in the data "
            "(python -m fullrank.data.inspect). Checkpoints from before are kept."
        )
