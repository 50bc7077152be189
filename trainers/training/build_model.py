"""Builds and compiles the model that a configuration describes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import without_features
from fullrank.layers.legacy_keras import keras
from fullrank.models import GroupOptions, InteractionOptions, ObjectiveOptions, Ranker, RankerOptions, Repetition
from fullrank.models.optimizers import OptimizerSpec, build_optimizer
from fullrank.trainers.config.checks import task_weights
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
    objective: ObjectiveConfig | None = None,
    exposure: ExposureConfig | None = None,
    seed: int = 0,
    train_split: str = "train",
    tables_of: Ranker | None = None,
) -> Ranker:
    """Builds the model with all its weights; call it in the scope of a distribution strategy if there is one.

    Args:
      config: Which model.
      schema: Of the data or of the run; its directory holds the vocabularies.
      embedding_l2: Penalty on looked-up rows.
      objective: How it is trained; `None` for a model that is not.
      seed: Of what groups and objective draw, whose generators a checkpoint could not save.
      train_split: What it is trained on, whose labels are counted.
      tables_of: A model of the same configuration whose embedding sets are taken for this one's.
      exposure: What training does about repeated exposures; `None` for nothing, as to a model that is only used.

    Raises:
      ValueError: If the configuration does not fit the schema, or the tables do not fit into memory.
    """
    schema = without_features(schema, config.without_features)
    wiring = wiring_of_data(config, schema)
    if tables_of is None:
        check_tables_fit(schema, widths=[each.width for each in wiring.sets])
    options = RankerOptions(
        tower=config.tower,
        interactions=InteractionOptions(
            hidden=config.hidden,
            cross_depth=config.cross_depth,
            cross_rank=config.cross_rank,
            projection_rank=config.projection_rank,
            maps=config.maps,
            attention_depth=config.attention_depth,
            attention_width=config.attention_width,
            heads=config.heads,
            stack=config.stack,
            stack_depth=config.stack_depth,
            dropout=config.dropout,
        ),
        numeric=config.numeric,
        buckets=config.buckets,
        bases=config.bases,
        bits=config.bits,
        frequencies=config.frequencies,
        frequency_scale=config.frequency_scale,
        vectors=config.vectors,
        similarity=config.similarity,
        sequence=config.sequence,
        sequence_without=config.sequence_without,
        task_weights=task_weights(config.task_weights),
        chain=config.chain,
        value_loss=config.value_loss,
        quantiles=config.quantiles,
        scenario=config.scenario,
        head=config.head,
        inducing_points=config.inducing_points,
        kernel=config.kernel,
        group_structure=GroupOptions(
            places=config.group_places,
            levels=config.group_levels,
            codes=config.group_codes,
            width=config.group_width,
            hidden=config.group_hidden,
            mu=config.group_mu,
            combine=config.group_combine,
            straight_through=config.group_straight_through,
            k_means_steps=config.group_k_means_steps,
            usage_decay=config.group_usage_decay,
            restart_share=config.group_restart_share,
            weight=config.group_weight,
            detach=config.group_detach,
            seed=seed,
        ),
        dropout=config.dropout,
        embedding_l2=embedding_l2,
        initial_scale=config.initial_scale,
        groups=config.groups,
        repetition=_repetition(exposure),
    )
    with _layer_settings(mixed_precision=config.mixed_precision):
        return Ranker(
            schema,
            wiring,
            options,
            objective=objective_options(objective, seed=seed) if objective is not None else None,
            taught=objective is not None and objective.is_taught,
            train_split=train_split,
            tables_of=tables_of,
        )


def objective_options(config: ObjectiveConfig, *, seed: int) -> ObjectiveOptions:
    """What the flags say of the objective, as a model takes it; `seed` is that of the pairs drawn."""
    return ObjectiveOptions(
        loss_mean=config.loss_mean,
        classification=config.classification,
        focus=config.focus,
        balance=config.balance,
        ranking=config.ranking,
        ranking_weight=config.ranking_weight,
        ranking_key=config.ranking_key,
        max_pairs=config.max_pairs,
        distillation_weight=config.distillation_weight,
        residual_weight=config.residual_weight,
        residual_target=config.residual_target,
        training_hidden=config.training_hidden,
        seed=seed,
    )


def _repetition(config: ExposureConfig | None) -> Repetition | None:
    if config is None or not config.repetition_weight:
        return None
    count, gap_days = config.repetition_columns
    return Repetition(
        count=count,
        gap_days=gap_days,
        alpha=config.repetition_alpha,
        tau_days=config.repetition_tau_days,
        recency=config.repetition_recency,
    )


def compile_model(model: Ranker, config: OptimizerConfig, *, total_steps: int, steps_per_execution: int = 1) -> None:
    """Gives the model its optimisers: a sparse one for its tables, a dense one for the rest.

    Args:
      model: As built.
      config: Which optimisers.
      total_steps: Steps of the whole run, after which a falling learning rate has arrived.
      steps_per_execution: Steps a call of the compiled function.
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
        tables=list(model.table_variables.values()),
        table_optimizer=spec(config.table_optimizer, config.table_learning_rate),
        dense_optimizer=dataclasses.replace(
            spec(config.dense_optimizer, config.learning_rate), weight_decay=config.weight_decay
        ),
    )
    model.compile(optimizer=optimizer, steps_per_execution=steps_per_execution)


@contextlib.contextmanager
def _layer_settings(*, mixed_precision: bool) -> Iterator[None]:
    """What layers take over from Keras's global settings when they are created, set for that time only."""
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
