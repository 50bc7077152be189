"""Starts a training from the weights of another run, whose vocabularies may have been others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from fullrank.data.schema.features import Feature, Numeric, Vector
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.value_rules import without_features
from fullrank.models import Ranker
from fullrank.models.carry_over import carry_over, carry_over_state
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.config.json import differing_fields
from fullrank.trainers.run.checkpoints import Checkpoints, TrainingState
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.calibrate_run import restore_calibrated


class Started(NamedTuple):
    """What a warm start took over.

    Attributes:
      kept: Rows of tables whose id is known to both.
      new: Rows that are new.
      gone: Rows of the run whose id the new vocabularies lack.
      with_state: Whether the optimisers' state came along; without a checkpoint of the run it starts anew.
    """

    kept: int
    new: int
    gone: int
    with_state: bool

    def __str__(self) -> str:
        """One sentence."""
        state = "with" if self.with_state else "without"
        gone = f", {self.gone:,} are gone because the data lacks their ids" if self.gone else ""
        kept = f"{self.kept:,} rows of tables keep their values"
        return f"{kept}, {self.new:,} are new{gone}; {state} the optimisers' state."


def schema_of(config: RunConfig, run: RunDirectory) -> Schema:
    """The schema of the data, with the statistics of the run that the training in `run` starts from."""
    schema = read_schema(config.data.data)
    if config.warm_start.start is None:
        return schema
    holds = run if run.resumable and not config.train.overwrite else RunDirectory(config.warm_start.start)
    return with_statistics_of(holds.schema(), schema)


def check_start(config: RunConfig, schema: Schema) -> None:
    """Rejects to start from a run whose model means something else.

    Args:
      config: Of the training that starts.
      schema: Of its data.

    Raises:
      ValueError: If the flags of the model differ, a learning rate depends on the step, or there is no run.
      SchemaError: If the columns differ.
    """
    run = RunDirectory(str(config.warm_start.start))
    if run.path.resolve() == Path(config.train.output).resolve():
        raise ValueError(f"--start={run.path} is also --output: write the new run into another directory.")
    started = run.config()
    different = differing_fields(started.model, config.model)
    if different:
        raise ValueError(
            f"--start={run.path} has another model: {'; '.join(different)}. Give the same flags; --config="
            f"{run.config_file} gives all of that run."
        )
    same = ("table_optimizer", "dense_optimizer", "small_tables")
    other = [name for name in same if getattr(started.optimizer, name) != getattr(config.optimizer, name)]
    if other:
        raise ValueError(f"--start={run.path} was trained with another --{other[0]}: give the same.")
    if config.objective.is_taught or started.objective.is_taught:
        raise ValueError(f"--start={run.path} does not go with a teacher: leave out --teacher and --teacher_columns.")
    if config.optimizer.schedule != "constant" or config.optimizer.warmup_steps:
        raise ValueError(
            "--start goes on with the steps of the run that it names, past the end of a learning rate that falls or "
            "rises: leave out --schedule and --warmup_steps."
        )
    before, after = (without_features(each, config.model.without_features) for each in (run.schema(), schema))
    check_same_columns(before, after, columns=[column.name for column in before.input_columns])


def with_statistics_of(held: Schema, schema: Schema) -> Schema:
    """A schema with the numbers, vectors and labels of another one, so that a model reads them as before.

    Args:
      held: Whose means and quantiles, also of the dot products of vectors, and label means count.
      schema: Whose columns, id maps, splits and directory count.

    Raises:
      SchemaError: If a label is of another type.
    """
    fitted = {feature.name: feature for feature in held.features if isinstance(feature, Numeric | Vector)}
    labels = {label.name: label for label in held.labels}
    for label in schema.labels:
        if label.name in labels and labels[label.name].type != label.type:
            raise SchemaError(
                f"{schema.directory}: label {label.name!r} is {label.type}, but {labels[label.name].type} in the run "
                "of --start."
            )
    features = tuple(_read_as(fitted.get(feature.name), feature) for feature in schema.features)
    return dataclasses.replace(
        schema, features=features, labels=tuple(labels.get(label.name, label) for label in schema.labels)
    )


def _read_as(held: Numeric | Vector | None, feature: Feature) -> Feature:
    if isinstance(held, Vector) and isinstance(feature, Vector):
        return dataclasses.replace(feature, statistics=held.statistics)
    return held if isinstance(held, Numeric) and isinstance(feature, Numeric) else feature


def warm_start(model: Ranker, config: RunConfig) -> Started:
    """Gives a compiled model with all its slots the weights and the optimisers' state of the run `--start`.

    Predictions for ids that both runs know are those of the best weights of the run, calibrated if it was; rows of new
    ids keep their first values, and their state is that of rows that no step has touched. Learning rates are those of
    the new configuration.

    Args:
      model: Of the training that starts.
      config: Its configuration, for which `check_start` found nothing.

    Raises:
      ValueError: If the run has no weights, or they cannot be read.
    """
    run = RunDirectory(str(config.warm_start.start))
    started = run.config()
    # Its own objective and schedule decide which variables its checkpoint has.
    old = build_model(started.model, run.schema(), objective=started.objective, exposure=started.exposure)
    compile_model(old, started.optimizer, total_steps=1)
    checkpoints = Checkpoints(model=old, stream=None, state=TrainingState(), directory=run.checkpoints, writes=False)
    with_state = checkpoints.restore()
    restore_calibrated(old, run)
    rows = carry_over(old, model)
    if with_state:
        carry_over_state(old, model, rows)
    kept = sum(len(each.new) for each in rows.values())
    was, now = (sum(int(v.shape[0]) for v in each.table_variables.values()) for each in (old, model))
    return Started(kept, now - kept, was - kept, with_state)
