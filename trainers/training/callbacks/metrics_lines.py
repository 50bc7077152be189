"""Reports while `fit` runs: `metrics.jsonl`, event files for TensorBoard, and a progress bar with few metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

from fullrank.trainers.run.checkpoints import TrainingState
from fullrank.trainers.run.metrics_log import MetricsLog
from fullrank.trainers.training.callbacks.saving import Milestones

_VALIDATION: Final = "val_"
_SHOWN: Final = ("auc", "ne", "rmse")
_MOST: Final = 4


class MetricsLines(keras.callbacks.Callback):
    """Writes a line every `every` steps with the metrics of the epoch so far, and one per epoch with validation's.

    Losses are means over the examples of the epoch so far, and of the whole validation split.

    Args:
      log: The file.
      state: The run's counters.
      every: Steps between lines.
      batch_size: Examples per step, for the rate.
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
        """Excludes the time of validation from the rate."""
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
        optimizer = self.model.optimizer
        rate = optimizer.learning_rate
        values["learning_rate"] = rate(optimizer.iterations) if callable(rate) else tf.convert_to_tensor(rate)
        self._log.append(kind="epoch", epoch=epoch + 1, step=self._state.progress.global_step, values=values)


class Events(keras.callbacks.Callback):
    """Writes `step/<metric>` every few steps, and `epoch/<metric>` of training and of validation every epoch.

    All are numbered by the step of the whole run, also in a resumed one. Keras's own callback cannot do that, and made
    a step a third slower even when it wrote once per epoch.

    Args:
      directory: Parent of `train` and `validation`, which TensorBoard draws in one chart.
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


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Shows the loss, and each task's AUC and NE, or RMSE, over the epoch so far; at its end also validation's.

    Of many tasks it shows only the first few that fit on a line. Metrics that are undefined at the end of an epoch are
    left out.

    Args:
      tasks: Names of the tasks.
    """

    def __init__(self, *, tasks: Sequence[str]) -> None:
        names = [f"{task}_{statistic}" for task in tasks[:_MOST] for statistic in _SHOWN]
        self._names = ("loss", *names, *(f"val_{name}" for name in names))
        # Keras averages metrics over steps unless they are "stateful"; these are already statistics of the whole epoch.
        super().__init__(count_mode="steps", stateful_metrics=list(self._names))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Updates the bar."""
        super().on_train_batch_end(batch, self._short(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the bar."""
        shown = self._short(logs)
        super().on_epoch_end(epoch, {name: value for name, value in shown.items() if math.isfinite(float(value))})

    def _short(self, logs: Mapping[str, Any] | None) -> dict[str, Any]:
        return {name: logs[name] for name in self._names if name in logs} if logs else {}
