"""Lets `Model.fit` go on in the middle of an epoch."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from fullrank.trainers.run.training_state import TrainingState


class Resume(keras.callbacks.Callback):
    """Starts `fit` at the epoch and step of a restored state, with the metrics of that epoch so far.

    `fit` resets metrics when an epoch begins, also one that is resumed; their restored values are put back. Has to be
    the first callback.

    Args:
      state: As restored.
    """

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._metric_values: list[tuple[Any, Any]] = []

    def set_model(self, model: keras.Model) -> None:
        """Tells `fit` where to begin, through the hook that Keras has for its own fault tolerance."""
        super().set_model(model)
        progress = self._state.progress
        model._training_state = _Position(progress.epoch, progress.step)
        if progress.step:
            self._metric_values = [(v, v.numpy()) for metric in model.metrics for v in metric.variables]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Puts the metrics of a resumed epoch back."""
        for variable, value in self._metric_values:
            variable.assign(value)
        self._metric_values = []

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the model as it was."""
        self.model._training_state = None


class _Position:
    """Where to begin, as Keras asks for it."""

    def __init__(self, epoch: int, step: int) -> None:
        self._epoch = epoch
        self._step = step

    def maybe_load_initial_counters_from_ckpt(self, steps: int, epoch: int, *, mode: Any) -> tuple[int, int]:
        """Keras's name for the epoch and the step within it."""
        del steps, epoch, mode
        return self._epoch, self._step
