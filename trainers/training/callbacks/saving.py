"""Saves checkpoints periodically, and lets `Model.fit` resume in the middle of an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from fullrank.trainers.run.checkpoints import TrainingState


class Milestones:
    """Detects which steps of an epoch pass a multiple of `every`.

    Counted from the start of the epoch, so that a resumed run acts at the same steps as an uninterrupted one; and
    passed rather than reached, because one call of the compiled function may take several steps.

    Args:
      every: Steps between milestones.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._step = 0

    def start(self, step: int) -> None:
        """Begins an epoch, or resumes it after `step` steps."""
        self._step = step

    def passed(self, step: int) -> bool:
        """Whether a milestone lies after the step of the previous call, up to `step`."""
        before, self._step = self._step, step
        return step // self._every > before // self._every


class Saving(keras.callbacks.Callback):
    """Saves after every epoch, and within one after a number of minutes or steps; must be the last callback.

    The last step of an epoch is not saved separately: the epoch with its validation is saved right after it.

    Args:
      state: The run's counters.
      save: Writes a checkpoint.
      check: Checks the logs and raises if the state should not be saved.
      steps_per_epoch: Steps of an epoch.
      minutes: Save when the last checkpoint is this old.
      steps: Save after this many steps of an epoch; `None` to save only by time.
      agree: Asks the processes that train together whether the time has come: takes what this one would say, and
        returns what holds for all. `None` where there is one process.
      agree_every: Steps between such questions.
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
        agree: Callable[[bool], bool] | None = None,
        agree_every: int = 1,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._save = save
        self._check = check
        self._steps_per_epoch = steps_per_epoch
        self._seconds = minutes * 60.0
        self._due = Milestones(steps) if steps is not None else None
        self._agree, self._questions = agree, Milestones(agree_every)
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts steps from the start of the epoch."""
        if self._due is not None:
            self._due.start(self._state.progress.step)
        self._questions.start(self._state.progress.step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if it is time."""
        progress = self._state.progress
        if progress.step >= self._steps_per_epoch:
            return
        due = self._due is not None and self._due.passed(progress.step)
        if due or self._is_late(progress.step):
            self._check(logs)
            self._now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves."""
        self._now()

    def _is_late(self, step: int) -> bool:
        late = time.monotonic() - self._saved_at >= self._seconds
        if self._agree is None:
            return late
        return self._questions.passed(step) and self._agree(late)

    def _now(self) -> None:
        self._save()
        self._saved_at = time.monotonic()


class Resume(keras.callbacks.Callback):
    """Starts `fit` at the epoch and step of a restored state, with the metrics of that epoch so far.

    `fit` resets metrics when an epoch begins, also one that is resumed; their restored values are put back. This must
    be the first callback.

    Args:
      state: The restored counters.
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


class Counting(keras.callbacks.Callback):
    """Counts steps and epochs in `state.progress`; must come before the callbacks that read or save it."""

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
