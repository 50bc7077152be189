"""Writes event files for TensorBoard while `fit` runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.callbacks.milestones import Milestones
from fullrank.trainers.run.training_state import TrainingState

_VALIDATION: Final = "val_"


class Events(keras.callbacks.Callback):
    """Writes `step/<metric>` every few steps, and `epoch/<metric>` of training and of validation every epoch.

    All are numbered by the step of the whole run, also by that of a resumed one. Keras's own callback cannot do that,
    and made a step a third dearer even where it wrote once an epoch.

    Args:
      directory: Has `train` and `validation` below it, which TensorBoard draws into one chart.
      state: The run's counters.
      every: Steps between events.
    """

    def __init__(self, directory: Path, state: TrainingState, *, every: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._due = Milestones(every)
        self._train = tf.summary.create_file_writer(str(directory / "train"))
        self._validation = tf.summary.create_file_writer(str(directory / "validation"))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts steps from the start of the epoch."""
        self._due.start(self._state.progress.step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes if it is time."""
        if self._due.passed(self._state.progress.step):
            self._write(self._train, "step", logs or {})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the metrics of the epoch."""
        values = dict(logs or {})
        ours = {name: value for name, value in values.items() if not name.startswith(_VALIDATION)}
        theirs = {name.removeprefix(_VALIDATION): value for name, value in values.items() if name not in ours}
        self._write(self._train, "epoch", ours)
        self._write(self._validation, "epoch", theirs)

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the files."""
        self._train.close()
        self._validation.close()

    def _write(self, writer: tf.summary.SummaryWriter, group: str, values: Mapping[str, Any]) -> None:
        with writer.as_default(step=self._state.progress.global_step):
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value)
        writer.flush()
