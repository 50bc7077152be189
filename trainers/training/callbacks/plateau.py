"""Lowers the learning rates when validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tf_keras as keras

from fullrank.trainers.run.training_state import TrainingState
from fullrank.trainers.training.callbacks.early_stopping import monitored_value


class Plateau(keras.callbacks.Callback):
    """Multiplies the learning rates by a factor after so many validations without a new best, and counts anew.

    Keras's `ReduceLROnPlateau` forgets its count whenever `fit` starts; this one keeps it in `state.progress`, and the
    rates are variables of the optimiser, so that a resumed run continues with both. A validation in which the metric is
    undefined does not count. Comes after `EarlyStopping`, which says whether an epoch is the best.

    Args:
      state: The run's counters.
      monitor: Name in the logs, as `EarlyStopping` has it.
      patience: Validations without a new best, since the last best or the last drop.
      factor: In (0, 1).
      say: Takes a sentence about a drop.
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
