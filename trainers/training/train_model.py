"""Trains a model from a configuration, into a run directory."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from fullrank.data.files.scratch import clear_leftovers
from fullrank.data.schema.json import write_schema
from fullrank.data.schema.saved_tables import layout_json
from fullrank.data.schema.schema import Schema
from fullrank.layers.legacy_keras import keras
from fullrank.models import Ranker
from fullrank.models.table_layout import table_layout
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.run_directory import RunDirectory, write_json
from fullrank.trainers.run.weights import saver_of_best
from fullrank.trainers.strategies.workers import WholeDataset, Workers, join
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.calibrate_run import RESULT, calibrations, described
from fullrank.trainers.training.callbacks.averaging import AveragedWeights
from fullrank.trainers.training.callbacks.calibrating import Calibrating
from fullrank.trainers.training.callbacks.early_stopping import BestOfTasks, Plateau
from fullrank.trainers.training.callbacks.measures import Collapse, Groups
from fullrank.trainers.training.callbacks.monitors import monitored, monitored_value, monitors_of_tasks, watched
from fullrank.trainers.training.callbacks.stop_on_nan import TrainingDivergedError
from fullrank.trainers.training.chain_labels import check_chain_labels
from fullrank.trainers.training.coordinated_steps import steps_of_workers
from fullrank.trainers.training.fitting import Fitting, say, silent, summary
from fullrank.trainers.training.gradient_log import gradient_log
from fullrank.trainers.training.records import (
    Histories,
    batch_size_of,
    batches_of_split,
    check_splits,
    explained,
    sized,
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from fullrank.trainers.training.teachers import Taught, averaged_weights, give_teacher
from fullrank.trainers.training.warm_start import check_start, schema_of, warm_start
from fullrank.trainers.training.warnings import (
    exposure_report,
    few_steps_warning,
    label_warnings,
    one_task_warning,
    undefined_metrics,
)


def train_model(
    config: RunConfig, *, command: Sequence[str] = (), after_epoch: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Trains, or resumes an interrupted run, or reports that the run is finished.

    Args:
      config: The configuration of the run.
      command: The command line, stored in `config.json`.
      after_epoch: Called with each finished epoch and its monitored value, NaN if undefined; an exception that it
        raises ends the training.

    Returns:
      The content of `result.json`: `best_epoch`, `epochs`, `stopped`, the metrics of the best epoch and the number of
      trainable weights. Empty in a process that is not the chief of those that train together.

    Raises:
      ValueError: If data, configuration and run directory do not fit together, or training diverges.
    """
    run = RunDirectory(config.train.output)
    schema = schema_of(config, run)
    config = sized(config, schema)
    workers = join(config.distribution)
    size = batch_size_of(config.data)
    if size % workers.replicas:
        raise ValueError(
            f"--batch_size={size} cannot be divided among {workers.replicas} devices: it is the number of examples of "
            "all of them together."
        )
    with run.locked() if workers.is_chief else contextlib.nullcontext():
        goes_on, finished = workers.led(lambda: _finished(config, schema, run, workers=workers))
        if not goes_on:
            return finished or {}
        return _Training(config, schema, run, workers=workers, after_epoch=after_epoch).run(command)


def _finished(config: RunConfig, schema: Schema, run: RunDirectory, *, workers: Workers) -> dict[str, Any] | None:
    """The result of a finished run, or `None` if there is something to train."""
    if not run.exists:
        run.check_free()
    elif not config.train.overwrite:
        if run.resumable:
            run.check_resumable(config, schema)
        run.check_not_diverged(config, schema)
        result = run.result()
        if result is not None:
            clear_leftovers(run.result_file)
            say(f"{run.path} is finished: {summary(result)}. Give --overwrite to start over.")
            return result
        if run.resumable:
            run.check_processes(workers.count)
            return None
    if config.warm_start.start is not None:
        check_start(config, schema)
    return None


class _Training:
    """The parts of one training run."""

    def __init__(
        self,
        config: RunConfig,
        schema: Schema,
        run: RunDirectory,
        *,
        workers: Workers,
        after_epoch: Callable[[int, float], None] | None = None,
    ) -> None:
        self._workers = workers
        self._config, self._schema, self._run, self._after_epoch = config, schema, run, after_epoch
        self._steps = steps_per_epoch(config, schema)
        keras.utils.set_random_seed(config.train.seed)
        if config.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        with workers.strategy.scope():
            self._model = build_model(
                config.model,
                schema,
                embedding_l2=config.optimizer.embedding_l2,
                field_l2=config.optimizer.field_l2,
                objective=config.objective,
                exposure=config.exposure,
                seed=config.train.seed,
                train_split=config.data.train_split,
                machines=1 if workers.servers is None else workers.servers.count,
            )
            compile_model(
                self._model,
                config.optimizer,
                total_steps=self._steps * config.train.epochs,
                steps_per_execution=config.train.steps_per_execution,
            )
            self._taught = self._teach() if config.objective.is_taught else Taught()
            decay = config.optimizer.ema_decay
            self._averaged = None if decay is None else self._average(decay)
        self._monitor = self._monitored(self._model)
        check_splits(config.data, schema)
        check_chain_labels(schema, chain=config.model.chain)
        self._fitting = Fitting(
            self._model,
            run=run,
            config=config.train,
            steps=self._steps,
            batch_size=batch_size_of(config.data),
            monitor=self._monitor,
            averages=[*self._taught.averages, *(self._averaged.averages if self._averaged else ())],
            workers=workers,
        )
        # Of each process, because several may repair files at the same time.
        self._cache = run.repaired if workers.is_chief else run.repaired / str(workers.number)

    def run(self, command: Sequence[str]) -> dict[str, Any]:
        """Fits, and writes the result."""
        self._workers.led(lambda: self._prepare(command))
        data = self._config.data
        with explained(self._schema, splits=[split for split in (data.train_split, data.validation_split) if split]):
            if self._workers.is_chief:
                self._warn()
            try:
                with self._workers.together():
                    self._train()
            except TrainingDivergedError as error:
                if not self._workers.is_chief:
                    raise
                raise TrainingDivergedError(self._run.note_divergence(str(error))) from error
        if not self._workers.is_chief:
            return {}
        result = self._result()
        write_json(result, self._run.result_file)
        if self._config.exposure.repetition_weight:
            tasks = self._model.wiring.tasks
            binary = [tasks[place] for place in self._model.outputs.binary]
            say(exposure_report(result["best"], tasks=binary))
        say(f"{self._run.path} is finished: {summary(result)}.")
        for sentence in described(result[RESULT], best=self._run.best):
            say(sentence)
        return result

    def _prepare(self, command: Sequence[str]) -> None:
        if self._config.train.overwrite or not self._run.resumable:
            starts = self._config.warm_start.start is not None
            self._run.create(
                self._config,
                self._schema,
                command=command,
                more=(lambda directory: write_schema(self._schema, directory)) if starts else None,
            )
        write_json(layout_json(table_layout(self._model)), self._run.tables_file)

    def _warn(self) -> None:
        """Prints warnings about wiring and labels before time is spent on training."""
        of_labels = label_warnings(
            self._config.data,
            self._schema,
            outputs=self._model.outputs,
            monitor=self._monitor,
            # Not before the training split has been looked at, which an error in both is to name.
            validation=lambda: self._validated,
            cache=self._cache,
        )
        of_steps = few_steps_warning(self._config, steps=self._steps)
        of_tasks = one_task_warning(self._config.model, self._schema, self._model.wiring)
        for sentence in (*of_tasks, *of_steps, *of_labels):
            print(f"warning: {sentence}", file=sys.stderr, flush=True)

    def _train(self) -> None:
        told, model, data = self._after_epoch, self._model, (self._config, self._schema)
        measures = [
            *self._taught.callbacks,
            *([self._averaged.follow, self._averaged.enter] if self._averaged else []),
            *([Calibrating()] if self._config.objective.calibrate else []),
            *([Collapse()] if self._config.train.log_collapse else []),
            *([Groups()] if model.learns_groups else []),
            *([gradient_log(model, *data, cache=self._cache)] if self._config.objective.log_gradients else []),
        ]
        workers = self._workers
        validation, steps = self._validation()
        self._fitting.fit(
            steps_of_workers(model, *data, servers=workers.servers)
            if workers.servers is not None
            else training_batches(
                self._config,
                self._schema,
                cache=self._cache,
                worker=workers.number,
                workers=workers.count,
                histories=self._histories,
            ),
            validation=validation,
            validation_steps=steps,
            shown=model.wiring.tasks,
            measures=measures,
            after=[*self._best_of_tasks(), *([self._averaged.leave] if self._averaged else []), *self._plateau()],
            last=self._told() if told is not None else (),
            on_undefined=self._say_undefined,
            begin=None if self._config.warm_start.start is None else self._start,
        )

    def _start(self) -> None:
        started = warm_start(self._model, self._config)
        if self._workers.is_chief:
            say(f"{self._run.path}: starts from {self._config.warm_start.start}: {started}")

    @property
    def _histories(self) -> Histories:
        """Replicas divide a batch by its rows, so each needs the histories of all of them."""
        return "per_row" if self._workers.replicas > 1 else "per_request"

    @functools.cached_property
    def _validated(self) -> tf.data.Dataset | None:
        """Batches of the validation split, which are looked at before training and read by `fit`."""
        return validation_batches(self._config.data, self._schema, cache=self._cache, histories=self._histories)

    def _validation(self) -> tuple[Any, int | None]:
        """What `fit` takes for the validation split, and its number of batches where Keras has to be told."""
        data, batches = self._config.data, self._validated
        is_shared = self._workers.replicas > 1
        if batches is None or not (is_shared or self._config.train.steps_per_execution > 1):
            return batches, None
        steps = batches_of_split(data, self._schema, split=data.validation_split, batches=batches)
        return WholeDataset(batches) if is_shared else batches, steps

    def _teach(self) -> Taught:
        def twin() -> Ranker:
            return build_model(self._config.model, self._schema, seed=self._config.train.seed, tables_of=self._model)

        return give_teacher(self._model, self._config.objective, self._schema, twin=twin)

    def _average(self, decay: float) -> AveragedWeights:
        return AveragedWeights(
            averaged_weights(self._model), decay=decay, steps=lambda: self._fitting.state.progress.global_step
        )

    def _told(self) -> list[keras.callbacks.Callback]:
        tell, monitor = self._after_epoch, self._monitor
        if tell is None or monitor is None:
            return []
        after = keras.callbacks.LambdaCallback
        return [after(on_epoch_end=lambda epoch, logs: tell(epoch + 1, monitored_value(logs, monitor)))]

    def _plateau(self) -> list[keras.callbacks.Callback]:
        how = self._config.optimizer
        if how.plateau_patience is None or self._monitor is None:
            return []
        return [
            Plateau(
                self._fitting.state,
                monitor=self._monitor,
                patience=how.plateau_patience,
                factor=how.plateau_factor,
                say=say if self._workers.is_chief else silent,
            )
        ]

    def _best_of_tasks(self) -> list[keras.callbacks.Callback]:
        if not self._config.train.best_of_tasks:
            return []
        monitors = monitors_of_tasks(self._model.outputs)
        savers: dict[str, Callable[[], None]] = {}
        if self._workers.is_chief:
            savers = {task: saver_of_best(self._model, self._run.best_of(task)) for task in monitors}
        return [
            BestOfTasks(
                self._fitting.state,
                monitors=monitors,
                save=lambda task: savers[task]() if task in savers else None,
            )
        ]

    def _monitored(self, model: Ranker) -> str | None:
        if not self._config.data.validation_split:
            return None
        named = dict(enumerate(model.wiring.tasks))
        binary, values = (tuple(named[n] for n in places) for places in (model.outputs.binary, model.outputs.values))
        name, calibrated = self._config.train.monitor, self._config.objective.calibrate
        auxiliary = model.wiring.auxiliary
        return monitored(name, tasks=binary, values=values, auxiliary=auxiliary, calibrated=calibrated)

    def _say_undefined(self, epoch: int, logs: Mapping[str, Any]) -> None:
        outputs = self._model.outputs
        tasks = {task: outputs.label(task).type == "binary" for task in outputs.tasks}
        of, _ = watched(str(self._monitor), tasks=tasks)
        why = " and ".join(dict.fromkeys(undefined_metrics(logs, tasks=of).values()))
        say(f"epoch {epoch}: {self._monitor} is undefined ({why}), so this epoch is neither better nor worse.")

    def _result(self) -> dict[str, Any]:
        found, outputs = self._fitting.result(), self._model.outputs
        tasks = [outputs.tasks[place] for place in outputs.binary]
        return {
            **found,
            "undefined": undefined_metrics(found["best"], tasks=self._model.wiring.tasks),
            RESULT: calibrations(self._run, found, lines=self._fitting.log.lines(), tasks=tasks),
        }
