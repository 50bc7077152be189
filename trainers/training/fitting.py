"""Fits a model in a run directory so that a kill at any time loses little: what every kind of training shares."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import tensorflow as tf

from fullrank.data.command.command import saying_what_is_kept
from fullrank.layers.legacy_keras import keras
from fullrank.trainers.config.config import TrainConfig
from fullrank.trainers.run.checkpoints import Checkpoints, Stream, TrainingState
from fullrank.trainers.run.follower import FollowerCheckpoints
from fullrank.trainers.run.metrics_log import MetricsLog, cut_events_after
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import BEST_KEPT, remove_debris, saver_of_best
from fullrank.trainers.strategies.workers import Workers
from fullrank.trainers.training.callbacks.early_stopping import EarlyStopping
from fullrank.trainers.training.callbacks.metrics_lines import Events, MetricsLines, ProgressBar
from fullrank.trainers.training.callbacks.saving import Counting, Resume, Saving
from fullrank.trainers.training.callbacks.stop_on_nan import StopOnNaN
from fullrank.trainers.training.coordinated_steps import CoordinatedSteps

Callbacks = Sequence[keras.callbacks.Callback]

_SAVER: Final = "MultiDeviceSaver"


class Fitting:
    """One training in a run directory: resumed from its last checkpoint, logged, and stopped when it stops to improve.

    Args:
      model: Compiled, with all its weights.
      run: Where checkpoints, best weights and logs lie.
      config: How long, and what is written.
      steps: Steps of an epoch.
      batch_size: Examples of a step.
      monitor: Name in the logs of what selects the best weights; `None` without validation.
      averages: Weights of a teacher that moves with the model.
      workers: The processes that train together, of which the chief alone writes and speaks; `None` for one.

    Attributes:
      state: The run's counters.
      log: Its lines of metrics.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        run: RunDirectory,
        config: TrainConfig,
        steps: int,
        batch_size: int,
        monitor: str | None,
        averages: Sequence[tf.Variable] = (),
        workers: Workers | None = None,
    ) -> None:
        self._model, self._run, self._config = model, run, config
        self._steps, self._batch_size, self._monitor, self._averages = steps, batch_size, monitor, averages
        self._workers = workers or Workers(tf.distribute.get_strategy())
        self.state = TrainingState()
        self.log = MetricsLog(run.metrics_file)

    def fit(
        self,
        batches: tf.data.Dataset | CoordinatedSteps,
        *,
        validation: tf.data.Dataset | tf.distribute.DistributedDataset | None = None,
        validation_steps: int | None = None,
        shown: Sequence[str] = (),
        measures: Callbacks = (),
        after: Callbacks = (),
        last: Callbacks = (),
        on_undefined: Callable[[int, Mapping[str, Any]], None] | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Trains from where the run stands to its end.

        Args:
          batches: Endless; or the steps that workers take on batches of their own.
          validation: Read once after each epoch.
          validation_steps: Batches of a `DistributedDataset`.
          shown: Tasks whose metrics the progress bar shows.
          measures: Callbacks that add to the logs, before the best weights are selected by them.
          after: Callbacks right after that.
          last: Callbacks after everything was saved.
          on_undefined: Takes epoch and logs of a validation whose monitored metric was undefined.
          begin: Called before the first step of a run that has no checkpoint, when the slots of the optimiser exist.
        """
        stream = Stream(batches) if isinstance(batches, tf.data.Dataset) else None
        writes = self._workers.is_chief
        parts = None if isinstance(batches, tf.data.Dataset) else batches.parts
        checkpoints = self._checkpoints(stream, parts)
        keep_best = saver_of_best(self._model, self._run.best)
        if checkpoints.restore(say=say if writes else silent):
            if writes:
                self._say_resumed()
        elif begin is not None:
            begin()
        progress = self.state.progress
        if writes:
            for directory in self._run.path.glob(f"{self._run.best.name}*"):
                remove_debris(directory, keep=BEST_KEPT)
            self.log.cut_after(progress.global_step)
            cut_events_after(self._run.events, progress.global_step)
        if progress.epoch == self._config.epochs or progress.stopped:
            return
        watch = StopOnNaN(self.state, every=self._config.log_steps, variables=checkpoints.variables)
        stopping = EarlyStopping(
            self.state,
            monitor=self._monitor,
            patience=self._config.patience,
            save_best=keep_best if writes else _nothing,
            on_undefined=on_undefined if writes else None,
        )
        first = [Resume(self.state), *([ProgressBar(tasks=shown)] if writes else []), Counting(self.state), watch]
        logs_and_saving = [*(self._logs() if writes else []), self._saving(checkpoints, watch)]
        kept = saying_what_is_kept(lambda: self._what_is_kept(checkpoints)) if writes else contextlib.nullcontext()
        with quiet_callbacks(), kept:
            fit = batches.fit if stream is None else functools.partial(self._model.fit, stream)
            fit(
                steps_per_epoch=self._steps,
                initial_epoch=progress.epoch,
                epochs=self._config.epochs,
                validation_data=validation,
                validation_steps=validation_steps,
                callbacks=[*first, *measures, stopping, *after, *logs_and_saving, *last],
                verbose=_verbosity(self._config.progress if writes else "none"),
            )

    def _checkpoints(self, stream: Stream | None, parts: Mapping[str, Any] | None) -> Checkpoints | FollowerCheckpoints:
        model, state, directory, averages = self._model, self.state, self._run.checkpoints, self._averages
        if stream is None or self._workers.is_chief:
            return Checkpoints(
                model=model, stream=stream, state=state, directory=directory, averages=averages, parts=parts
            )
        own = self._run.workers / str(self._workers.number)
        return FollowerCheckpoints(
            model=model, stream=stream, state=state, directory=directory, own=own, averages=averages
        )

    def _logs(self) -> list[keras.callbacks.Callback]:
        every = self._config.log_steps
        found: list[keras.callbacks.Callback] = [
            MetricsLines(self.log, self.state, every=every, batch_size=self._batch_size)
        ]
        if self._config.tensorboard:
            found.append(Events(self._run.events, self.state, every=every))
        return found

    def _saving(self, checkpoints: Checkpoints | FollowerCheckpoints, watch: StopOnNaN) -> Saving:
        workers = self._workers

        def save() -> None:
            if workers.is_chief:
                workers.wait()
                checkpoints.save()
            else:
                checkpoints.save()
                workers.wait()

        return Saving(
            self.state,
            save=save,
            check=watch.check,
            steps_per_epoch=self._steps,
            minutes=self._config.checkpoint_minutes,
            steps=self._config.checkpoint_steps,
            agree=None if workers.count == 1 else lambda late: bool(workers.of_chief(float(late))),
            agree_every=self._config.log_steps,
        )

    def _what_is_kept(self, checkpoints: Checkpoints | FollowerCheckpoints) -> str:
        stopped = f"{self._run.path}: stopped after step {self.state.progress.global_step:,}."
        if checkpoints.step is None:
            return f"{stopped} Nothing had been saved: the same command starts over."
        return f"{stopped} The checkpoint of step {checkpoints.step:,} is kept: the same command resumes from there."

    def _say_resumed(self) -> None:
        progress = self.state.progress
        place = (
            f"step {progress.step} of epoch {progress.epoch + 1}" if progress.step else f"epoch {progress.epoch + 1}"
        )
        if progress.epoch < self._config.epochs and not progress.stopped:
            say(f"{self._run.path}: resumes after {progress.global_step} steps, at {place}.")

    def result(self) -> dict[str, Any]:
        """What every kind of training tells of itself: epochs, steps, and the metrics of the best epoch."""
        progress = self.state.progress
        best = [line for line in self.log.lines() if line["kind"] == "epoch" and line["epoch"] == progress.best_epoch]
        metrics = {name: value for name, value in (best[0] if best else {}).items() if name not in ("kind", "epoch")}
        if self._monitor is not None and progress.best is not None:
            metrics[self._monitor] = progress.best
        counters = dataclasses.asdict(progress)
        return {
            "epochs": counters["epoch"],
            "steps": counters["global_step"],
            "stopped": counters["stopped"] or None,
            "monitor": self._monitor,
            "best_epoch": counters["best_epoch"],
            "best": metrics,
            **({"best_epoch_of": counters["best_epoch_of"]} if counters["best_epoch_of"] else {}),
            "weights": sum(weight.shape.num_elements() for weight in self._model.trainable_weights),
        }


@contextlib.contextmanager
def quiet_callbacks() -> Iterator[None]:
    """Drops warnings that nobody could act on.

    Keras times callbacks at the first few steps of a process, in which they wait for graphs to be traced and files to
    be created. TensorFlow traces a new graph for each checkpoint whose variables several devices hold.
    """

    def wanted(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return "is slow compared to the batch time" not in text and _SAVER not in text

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def summary(result: Mapping[str, Any]) -> str:
    """A result in a line: the best value, the epoch, and why training stopped."""
    monitor = result["monitor"]
    value = result["best"].get(monitor) if monitor else None
    if isinstance(value, float):
        best = f"{monitor} {value:.4f}"
    else:
        best = (
            "last weights" if monitor is None else f"last weights, because {monitor} was undefined in every validation,"
        )
    why = f"; stopped: {result['stopped']}" if result["stopped"] else ""
    return f"{best} after epoch {result['best_epoch']} of {result['epochs']}{why}"


def _nothing() -> None:
    """Takes the place of saving the best weights in a process that is not the chief."""


def silent(text: str) -> None:
    """Takes the place of `say` in a process that is not the chief."""


def say(text: str) -> None:
    """Prints at once."""
    print(text, flush=True)


def _verbosity(progress: str) -> int:
    if progress == "auto":
        return 1 if sys.stdout.isatty() else 2
    return {"bar": 1, "line": 2, "none": 0}[progress]
