"""Teachers of a run: another run, an export, columns of the records, or a moving average ([Meta] §3.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.layers.legacy_keras import keras
from fullrank.models import Ranker
from fullrank.models.learning.objective import Teacher
from fullrank.models.objectives import EmaTeacher
from fullrank.models.serving.request_inputs import input_name
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.run.weights import READING_ERRORS, reason
from fullrank.trainers.training.load_run import load_run

_SIGNATURE: Final = "serving_default"
_SAVED_MODEL: Final = "saved_model.pb"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Taught:
    """The parts that a teacher adds to a training run.

    Attributes:
      callbacks: Callbacks that update the teacher while the student trains.
      averages: The weights that they update, for checkpoints.
    """

    callbacks: tuple[keras.callbacks.Callback, ...] = ()
    averages: tuple[tf.Variable, ...] = ()


def give_teacher(model: Ranker, config: ObjectiveConfig, schema: Schema, *, twin: Callable[[], Ranker]) -> Taught:
    """Sets the teacher of a model that was built to be taught.

    Args:
      model: The student.
      config: Configuration of the teacher.
      schema: Schema of the records that it is trained on.
      twin: Builds a model like the student that shares its embedding sets.

    Raises:
      ValueError: If there is no such teacher, or it does not fit the records or the tasks.
    """
    if config.teacher == "ema":
        return _moving_average(model, twin(), decay=config.teacher_decay)
    binary = [model.wiring.tasks[place] for place in model.outputs.binary]
    if config.teacher_columns:
        teacher = _columns(config.teacher_columns, schema, tasks=model.wiring.tasks)
    elif RunDirectory(str(config.teacher)).exists:
        teacher = _run(str(config.teacher), schema, tasks=binary)
    else:
        teacher = _export(Path(str(config.teacher)), schema, tasks=binary)
    model.learn_from(teacher)
    return Taught()


def _columns(given: Sequence[str], schema: Schema, *, tasks: Sequence[str]) -> Teacher:
    known = {column.name: column for column in schema.columns}
    column_of: dict[str, str] = {}
    for entry in given:
        task, _, name = entry.rpartition(":")
        task = task or tasks[0]
        if task not in tasks:
            raise ValueError(f"--teacher_columns={entry}: the model has no task {task!r}. Tasks: {', '.join(tasks)}.")
        if name not in known or known[name].dtype != "float32" or known[name].form != "one":
            raise ValueError(
                f"--teacher_columns={entry}: the records have no number {name!r} for each example; declare it among "
                "the extras of schema.json and convert again."
            )
        column_of[task] = name
    return lambda batch: {task: batch[name] for task, name in column_of.items()}


def _check_tasks(path: str, known: Collection[str], *, tasks: Sequence[str]) -> None:
    if not set(tasks) & set(known):
        raise ValueError(
            f"--teacher={path} predicts {', '.join(sorted(known))}, but none of the binary tasks {', '.join(tasks)}."
        )


def _run(path: str, schema: Schema, *, tasks: Sequence[str]) -> Teacher:
    loaded = load_run(path)
    _check_tasks(path, loaded.model.wiring.tasks, tasks=tasks)
    check_same_columns(loaded.schema, schema, columns=[column.name for column in loaded.schema.input_columns])

    def teach(batch: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        predictions: Mapping[str, tf.Tensor] = loaded.model(batch, training=False)
        return predictions

    return teach


def _export(path: Path, schema: Schema, *, tasks: Sequence[str]) -> Teacher:
    versions = [entry for entry in path.glob("*") if entry.name.isdecimal() and (entry / _SAVED_MODEL).is_file()]
    found = path if (path / _SAVED_MODEL).is_file() else max(versions, key=lambda p: int(p.name), default=None)
    if found is None:
        raise ValueError(f"--teacher={path} is neither a run directory nor an export. Give ema for a moving average.")
    try:
        loaded = tf.saved_model.load(str(found))
    except READING_ERRORS as error:
        raise ValueError(
            f"--teacher={path}: the export {found} cannot be read: {reason(error)}. Copy it again, or export the run "
            "anew."
        ) from error
    if _SIGNATURE not in loaded.signatures:
        raise ValueError(f"--teacher={path}: the export has no signature {_SIGNATURE!r}.")
    _check_tasks(str(path), loaded.signatures[_SIGNATURE].structured_outputs, tasks=tasks)
    specs: Mapping[str, tf.TensorSpec] = loaded.signatures[_SIGNATURE].structured_input_signature[1]
    columns = {input_name(column.name): column.name for column in schema.columns}
    missing = [name for name in specs if name not in columns]
    if missing:
        raise SchemaError(f"--teacher={path} reads {', '.join(missing)}, which {schema.directory} does not have.")

    def teach(batch: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        inputs: dict[str, Any] = {name: batch[columns[name]] for name in specs}
        # Through `loaded`: a signature alone does not keep the variables of its SavedModel alive.
        answers: Mapping[str, tf.Tensor] = loaded.signatures[_SIGNATURE](**inputs)
        return answers

    return teach


def _moving_average(model: Ranker, twin: Ranker, *, decay: float) -> Taught:
    averages, variables = averaged_weights(twin), averaged_weights(model)
    callback = EmaTeacher(averages, variables, decay=decay)
    for average, variable in zip(averages, variables, strict=True):
        average.assign(variable)
    model.learn_from(lambda batch: twin(batch, training=False))
    return Taught(callbacks=(callback,), averages=tuple(averages))


def averaged_weights(model: Ranker) -> list[tf.Variable]:
    """The weights that predictions depend on, except embedding tables, which teacher and student share.

    Training-only heads and metrics belong to `learning`, which predictions do not depend on. The others include weights
    that are not trained: without the student's precision and random features, a teacher with an uncertain head would
    predict something else.
    """
    left_out = {variable.ref() for variable in model.table_variables.values()}
    left_out |= {variable.ref() for variable in model.learning.weights}
    found = [*model.trainable_weights, *model.non_trainable_weights]
    return [variable for variable in found if variable.ref() not in left_out and variable.dtype.is_floating]
