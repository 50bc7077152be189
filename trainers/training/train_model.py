"""Trains a model as a configuration says, into a run directory."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from fullrank.data.command.command import saying_what_is_kept
from fullrank.data.files.scratch import clear_leftovers
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.saved_tables import layout_json
from fullrank.data.schema.schema import Schema
from fullrank.layers.legacy_keras import keras
from fullrank.models import Ranker
from fullrank.models.table_layout import table_layout
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.checkpoints import Checkpoints, Stream, TrainingState
from fullrank.trainers.run.metrics_log import MetricsLog, cut_events_after
from fullrank.trainers.run.run_directory import RunDirectory, write_json
from fullrank.trainers.run.weights import BEST_KEPT, remove_debris, save_best
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.callbacks.early_stopping import (
    EarlyStopping,
    Plateau,
    monitored,
    monitored_value,
    watched,
)
from fullrank.trainers.training.callbacks.measures import Collapse, Groups
from fullrank.trainers.training.callbacks.metrics_lines import Events, MetricsLines, ProgressBar
from fullrank.trainers.training.callbacks.saving import Counting, Resume, Saving
from fullrank.trainers.training.callbacks.stop_on_nan import StopOnNaN, TrainingDivergedError
from fullrank.trainers.training.gradient_log import gradient_log
from fullrank.trainers.training.records import (
    check_splits,
    explained,
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from fullrank.trainers.training.teachers import Taught, give_teacher
from fullrank.trainers.training.warnings import (
    exposure_report,
    few_steps_warning,
    label_warnings,
    one_task_warning,
    undefined_metrics,
)


@contextlib.contextmanager
def quiet_callbacks() -> Iterator[None]:
    """Drops the warning that callbacks are slow.

    Keras times them at the first few steps of a process, in which they wait for graphs to be traced and files to be
    created; nobody could act on it.
    """

    def wanted(record: logging.LogRecord) -> bool:
        return "is slow compared to the batch time" not in str(record.msg)

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def train_model(
    config: RunConfig, *, command: Sequence[str] = (), after_epoch: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Trains, or resumes an interrupted run, or finds that the run is finished.

    Args:
      config: What to train, on what, and where to.
      command: The command line, for the record.
      after_epoch: Called with each finished epoch and its monitored value, NaN where it is undefined; what it raises
        ends the training.

    Returns:
      What `result.json` holds: `best_epoch`, `epochs`, `stopped`, the metrics of the best epoch and the number of
      trainable weights.

    Raises:
      ValueError: If data, configuration and run directory do not fit together, or training diverges.
    """
    schema = read_schema(config.data.data)
    run = RunDirectory(config.train.output)
    with run.locked():
        if not run.exists:
            run.check_free()
        elif not config.train.overwrite:
            if run.resumable:
                run.check_resumable(config, schema)
            run.check_not_diverged(config, schema)
            result = run.result()
            if result is not None:
                clear_leftovers(run.result_file)
                _say(f"{run.path} is finished: {_summary(result)}. Give --overwrite to start anew.")
                return result
        return _Training(config, schema, run, after_epoch=after_epoch).run(command)


class _Training:
    """The parts of one training run."""

    def __init__(
        self,
        config: RunConfig,
        schema: Schema,
        run: RunDirectory,
        *,
        after_epoch: Callable[[int, float], None] | None = None,
    ) -> None:
        self._config, self._schema, self._run, self._after_epoch = config, schema, run, after_epoch
        self._steps = steps_per_epoch(config, schema)
        keras.utils.set_random_seed(config.train.seed)
        if config.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        with tf.distribute.get_strategy().scope():
            self._model = build_model(
                config.model,
                schema,
                embedding_l2=config.optimizer.embedding_l2,
                objective=config.objective,
                exposure=config.exposure,
                seed=config.train.seed,
                train_split=config.data.train_split,
            )
            compile_model(
                self._model,
                config.optimizer,
                total_steps=self._steps * config.train.epochs,
                steps_per_execution=config.train.steps_per_execution,
            )
            self._taught = self._teach() if config.objective.is_taught else Taught()
        self._monitor = self._monitored(self._model)
        check_splits(config.data, schema)
        self._state = TrainingState()
        self._log = MetricsLog(run.metrics_file)

    def run(self, command: Sequence[str]) -> dict[str, Any]:
        """Fits, and writes down what came of it."""
        if self._config.train.overwrite or not self._run.resumable:
            self._run.create(self._config, self._schema, command=command)
        write_json(layout_json(table_layout(self._model)), self._run.tables_file)
        data = self._config.data
        with explained(self._schema, splits=[split for split in (data.train_split, data.validation_split) if split]):
            self._warn()
            try:
                self._train()
            except TrainingDivergedError as error:
                raise TrainingDivergedError(self._run.note_divergence(str(error))) from error
        result = self._result()
        write_json(result, self._run.result_file)
        if self._config.exposure.repetition_weight:
            tasks = self._model.wiring.tasks
            binary = [tasks[place] for place in self._model.outputs.binary]
            _say(exposure_report(result["best"], tasks=binary))
        _say(f"{self._run.path} is finished: {_summary(result)}.")
        return result

    def _warn(self) -> None:
        """Says what wiring and labels cannot give, before time is spent on it."""
        of_labels = label_warnings(
            self._config.data,
            self._schema,
            outputs=self._model.outputs,
            monitor=self._monitor,
            cache=self._run.repaired,
        )
        of_steps = few_steps_warning(self._config, steps=self._steps)
        of_tasks = one_task_warning(self._config.model, self._schema, self._model.wiring)
        for sentence in (*of_tasks, *of_steps, *of_labels):
            print(f"warning: {sentence}", file=sys.stderr, flush=True)

    def _train(self) -> None:
        stream = Stream(training_batches(self._config, self._schema, cache=self._run.repaired))
        validation = validation_batches(self._config.data, self._schema, cache=self._run.repaired)
        checkpoints = Checkpoints(
            model=self._model,
            stream=stream,
            state=self._state,
            directory=self._run.checkpoints,
            averages=self._taught.averages,
        )
        remove_debris(self._run.best, keep=BEST_KEPT)
        if checkpoints.restore(say=_say):
            self._say_resumed()
        progress = self._state.progress
        self._log.cut_after(progress.global_step)
        cut_events_after(self._run.events, progress.global_step)
        if progress.epoch == self._config.train.epochs or progress.stopped:
            return
        with quiet_callbacks(), saying_what_is_kept(lambda: self._what_is_kept(checkpoints)):
            self._model.fit(
                stream,
                steps_per_epoch=self._steps,
                initial_epoch=progress.epoch,
                epochs=self._config.train.epochs,
                validation_data=validation,
                callbacks=self._callbacks(checkpoints),
                verbose=_verbosity(self._config.train.progress),
            )

    def _what_is_kept(self, checkpoints: Checkpoints) -> str:
        stopped = f"{self._run.path}: stopped after step {self._state.progress.global_step:,}."
        if checkpoints.step is None:
            return f"{stopped} Nothing had been saved: the same command starts anew."
        return f"{stopped} The checkpoint of step {checkpoints.step:,} is kept: the same command resumes from there."

    def _teach(self) -> Taught:
        def twin() -> Ranker:
            return build_model(self._config.model, self._schema, seed=self._config.train.seed, tables_of=self._model)

        return give_teacher(self._model, self._config.objective, self._schema, twin=twin)

    def _callbacks(self, checkpoints: Checkpoints) -> list[keras.callbacks.Callback]:
        train, state = self._config.train, self._state
        watch = StopOnNaN(state, every=train.log_steps, variables=checkpoints.variables)
        callbacks = [
            Resume(state),
            ProgressBar(tasks=self._model.wiring.tasks),
            Counting(state),
            watch,
            *self._taught.callbacks,
            *([Collapse()] if train.log_collapse else []),
            *([Groups()] if self._model.learns_groups else []),
            *([self._gradients()] if self._config.objective.log_gradients else []),
            EarlyStopping(
                state,
                monitor=self._monitor,
                patience=train.patience,
                save_best=lambda: save_best(self._model, self._run.best),
                on_undefined=self._say_undefined,
            ),
            *self._plateau(),
            MetricsLines(self._log, state, every=train.log_steps, batch_size=self._config.data.batch_size),
        ]
        if train.tensorboard:
            callbacks.append(Events(self._run.events, state, every=train.log_steps))
        saving = Saving(
            state,
            save=checkpoints.save,
            check=watch.check,
            steps_per_epoch=self._steps,
            minutes=train.checkpoint_minutes,
            steps=train.checkpoint_steps,
        )
        return [*callbacks, saving, *self._told()]

    def _told(self) -> list[keras.callbacks.Callback]:
        tell, monitor = self._after_epoch, self._monitor
        if tell is None or monitor is None:
            return []
        return [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: tell(epoch + 1, monitored_value(logs, monitor))
            )
        ]

    def _plateau(self) -> list[keras.callbacks.Callback]:
        how = self._config.optimizer
        if how.plateau_patience is None or self._monitor is None:
            return []
        return [
            Plateau(
                self._state,
                monitor=self._monitor,
                patience=how.plateau_patience,
                factor=how.plateau_factor,
                say=_say,
            )
        ]

    def _gradients(self) -> keras.callbacks.Callback:
        return gradient_log(self._model, self._config, self._schema, cache=self._run.repaired)

    def _monitored(self, model: Ranker) -> str | None:
        if not self._config.data.validation_split:
            return None
        named = dict(enumerate(model.wiring.tasks))
        binary, values = (tuple(named[n] for n in places) for places in (model.outputs.binary, model.outputs.values))
        return monitored(self._config.train.monitor, tasks=binary, values=values)

    def _say_undefined(self, epoch: int, logs: Mapping[str, Any]) -> None:
        outputs = self._model.outputs
        tasks = {task: outputs.label(task).type == "binary" for task in outputs.tasks}
        of, _ = watched(str(self._monitor), tasks=tasks)
        why = " and ".join(dict.fromkeys(undefined_metrics(logs, tasks=of).values()))
        _say(f"epoch {epoch}: {self._monitor} is undefined ({why}), so this epoch is neither better nor worse.")

    def _say_resumed(self) -> None:
        progress = self._state.progress
        place = (
            f"step {progress.step} of epoch {progress.epoch + 1}" if progress.step else f"epoch {progress.epoch + 1}"
        )
        if progress.epoch < self._config.train.epochs and not progress.stopped:
            _say(f"{self._run.path}: resumes after {progress.global_step} steps, at {place}.")

    def _result(self) -> dict[str, Any]:
        progress = self._state.progress
        best = [line for line in self._log.lines() if line["kind"] == "epoch" and line["epoch"] == progress.best_epoch]
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
            "undefined": undefined_metrics(metrics, tasks=self._model.wiring.tasks),
            "weights": sum(weight.shape.num_elements() for weight in self._model.trainable_weights),
        }


def _verbosity(progress: str) -> int:
    if progress == "auto":
        return 1 if sys.stdout.isatty() else 2
    return {"bar": 1, "line": 2, "none": 0}[progress]


def _summary(result: dict[str, Any]) -> str:
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


def _say(text: str) -> None:
    print(text, flush=True)
