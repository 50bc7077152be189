"""Builds and compiles the model that a configuration describes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import without_features
from fullrank.layers.legacy_keras import keras
from fullrank.models import GroupOptions, InteractionOptions, ObjectiveOptions, Ranker, RankerOptions, Repetition
from fullrank.models.optimizers import OptimizerSpec, build_optimizer
from fullrank.models.options.setting import part_of
from fullrank.trainers.config.checks import field_penalties, table_widths, task_weights
from fullrank.trainers.config.config import ExposureConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.training.memory import check_tables_fit
from fullrank.trainers.training.wirings import wiring_of_data


def build_model(
    config: ModelConfig,
    schema: Schema,
    *,
    embedding_l2: float = 0.0,
    field_l2: Sequence[str] = (),
    objective: ObjectiveConfig | None = None,
    exposure: ExposureConfig | None = None,
    seed: int = 0,
    train_split: str = "train",
    tables_of: Ranker | None = None,
    machines: int = 1,
) -> Ranker:
    """Builds the model with all its weights; call it in the scope of a distribution strategy if there is one.

    Args:
      config: Configuration of the model.
      schema: Schema of the data or of the run; its directory holds the vocabularies.
      embedding_l2: Penalty on looked-up rows.
      field_l2: Penalties of single features, as feature:weight.
      objective: How it is trained; `None` for a model that is not.
      seed: Seed of what groups and objective draw, whose generators a checkpoint could not save.
      train_split: What it is trained on, whose labels are counted.
      tables_of: A model of the same configuration whose embedding sets are taken for this one's.
      machines: How many machines share the tables, each with as much memory as this one.
      exposure: What training does about repeated exposures; `None` for nothing, as to a model that is only used.

    Raises:
      ValueError: If the configuration does not fit the schema, or the tables do not fit into memory.
    """
    schema = without_features(schema, config.without_features)
    wiring = wiring_of_data(config, schema)
    widths = [each.width for each in wiring.sets]
    narrow = table_widths(config.table_widths, widths=widths)
    if tables_of is None:
        check_tables_fit(schema, widths=widths, narrow=dict(narrow), machines=machines)
    options = part_of(
        config,
        of=RankerOptions,
        interactions=part_of(config, of=InteractionOptions),
        group_structure=part_of(config, of=GroupOptions, prefix="group_"),
        task_weights=task_weights(config.task_weights),
        repetition=_repetition(exposure),
        embedding_l2=embedding_l2,
        field_penalties=field_penalties(field_l2),
        table_widths=narrow,
        seed=seed,
    )
    with _layer_settings(mixed_precision=config.mixed_precision):
        return Ranker(
            schema,
            wiring,
            options,
            objective=part_of(objective, of=ObjectiveOptions) if objective is not None else None,
            taught=objective is not None and objective.is_taught,
            train_split=train_split,
            tables_of=tables_of,
        )


def _repetition(config: ExposureConfig | None) -> Repetition | None:
    if config is None or not config.repetition_weight:
        return None
    count, gap_days = config.repetition_columns
    return part_of(config, of=Repetition, prefix="repetition_", count=count, gap_days=gap_days)


def compile_model(model: Ranker, config: OptimizerConfig, *, total_steps: int, steps_per_execution: int = 1) -> None:
    """Compiles the model with its optimisers: a sparse one for its tables, a dense one for the rest.

    Args:
      model: The built model.
      config: Configuration of the optimisers.
      total_steps: Steps of the whole run, at the end of which a falling learning rate reaches its last value.
      steps_per_execution: Steps per call of the compiled function.
    """
    falls = config.schedule != "constant"

    def spec(name: str, learning_rate: float) -> OptimizerSpec:
        return OptimizerSpec(
            name=name,
            learning_rate=learning_rate,
            schedule=config.schedule,
            warmup_steps=config.warmup_steps,
            decay_steps=max(1, total_steps - config.warmup_steps) if falls else 0,
            final=config.final_rate if falls else 0.0,
            global_clipnorm=config.clip_norm,
        )

    optimizer = build_optimizer(
        tables=[*model.table_variables.values(), *(model.small_tables if config.small_tables == "table" else [])],
        table_optimizer=spec(config.table_optimizer, config.table_learning_rate),
        dense_optimizer=dataclasses.replace(
            spec(config.dense_optimizer, config.learning_rate), weight_decay=config.weight_decay
        ),
    )
    model.compile(optimizer=optimizer, steps_per_execution=steps_per_execution)


@contextlib.contextmanager
def _layer_settings(*, mixed_precision: bool) -> Iterator[None]:
    """Sets Keras's global settings while layers are created, and restores them afterwards."""
    policy = keras.mixed_precision.global_policy()
    generators = keras.backend.experimental.is_tf_random_generator_enabled()
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed_precision else "float32")
    # The state of these generators can be saved, that of Keras's usual random operations cannot.
    keras.backend.experimental.enable_tf_random_generator()
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(policy)
        if not generators:
            keras.backend.experimental.disable_tf_random_generator()
