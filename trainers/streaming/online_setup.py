"""Builds the parts of online training from flags: schema, source, model, join."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from fullrank.data.events.event_directory import EventDirectory
from fullrank.data.events.event_source import EventSource
from fullrank.data.events.event_topic import EventTopic, address
from fullrank.data.schema.columns import Column
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models import Ranker
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.streaming.config import OnlineConfig
from fullrank.trainers.streaming.join import Join, JoinSettings
from fullrank.trainers.streaming.release import RuleSettings
from fullrank.trainers.streaming.training_rows import DAY
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.calibrate_run import restore_calibrated

_HOUR = 3600.0


class Setup(NamedTuple):
    """The result of reading the flags, the source and the run to start from.

    Attributes:
      run: Configuration of the run directory.
      schema: Schema of the model, without splits.
      stream: Schema of the source.
      source: The events.
    """

    run: RunConfig
    schema: Schema
    stream: Schema
    source: EventSource


def set_up(config: OnlineConfig, *, model: ModelConfig, optimizer: OptimizerConfig) -> Setup:
    """Reads schemas and the configuration of the run to start from.

    Raises:
      ValueError: If they do not fit together.
    """
    topic = address(config.source)
    if topic is None and not Path(config.source).is_dir():
        raise ValueError(f"--source={config.source} is neither a directory of events nor kafka://host:port/topic.")
    described = config.schema or (config.start if topic is not None else config.source)
    if described is None:
        raise ValueError(f"--source={config.source} needs --schema, a directory with schema.json, or --start.")
    stream = dataclasses.replace(read_schema(described), splits=(), layout="block", compression="")
    schema = stream
    if config.start is not None:
        started = RunDirectory(config.start)
        schema, model = started.schema(), started.config().model
    schema = dataclasses.replace(schema, splits=())
    task = model.tasks or (schema.labels[0].name,)
    if len(task) > 1 or model.auxiliary_tasks or model.scenario is not None:
        raise ValueError(f"Online training has one task, a conversion. Received: {', '.join(task)}.")
    if schema.label(task[0]).type != "binary":
        raise SchemaError(f"Label {task[0]!r} is a real value, but a conversion is 0 or 1: name another by --tasks.")
    if model.head != "logit":
        raise ValueError(f"--head={model.head} is not trained online: its posterior needs complete labels.")
    if optimizer.schedule != "constant" or optimizer.plateau_patience is not None:
        raise ValueError(
            "A stream has no end at which a learning rate could be lowest: leave out --schedule and --plateau_*."
        )
    if optimizer.ema_decay is not None:
        raise ValueError("--ema_decay needs validated epochs, which online training does not have: leave it out.")
    run = RunConfig(
        data=DataConfig(data=config.source, validation_split="", batch_size=config.batch_size),
        model=model,
        optimizer=optimizer,
        train=TrainConfig(output=config.output, epochs=1, seed=config.seed),
    )
    source: EventSource = (
        EventDirectory(Path(config.source), schema=stream) if topic is None else EventTopic(topic, schema=stream)
    )
    return Setup(run, schema, stream, source)


def build_online_model(setup: Setup, config: OnlineConfig) -> Ranker:
    """The model, compiled, with the weights to start from."""
    optimizer = setup.run.optimizer
    model = build_model(
        setup.run.model,
        setup.schema,
        embedding_l2=optimizer.embedding_l2,
        field_l2=optimizer.field_l2,
        seed=config.seed,
    )
    compile_model(model, optimizer, total_steps=1)
    if config.start is not None:
        restore_calibrated(model, RunDirectory(config.start))
    return model


def read_columns(setup: Setup, config: OnlineConfig, *, model: Ranker) -> tuple[Column, ...]:
    """The columns of a click that are kept: what the model reads, its weight, and the keys of the rule.

    Raises:
      SchemaError: If the stream lacks one, or a key is not one id.
    """
    known = {column.name: column for column in setup.stream.columns}
    for key in config.keys:
        if key not in known or known[key].form != "one" or known[key].dtype == "float32":
            raise SchemaError(f"--keys: {key!r} is not a column of one id per click in {setup.stream.directory}.")
    columns = {column.name: column for column in model.schema.input_columns}
    if model.schema.weight is not None:
        columns[model.schema.weight] = Column(name=model.schema.weight, dtype="float32")
    check_same_columns(model.schema, setup.stream, columns=[*columns, model.wiring.labels[0]])
    return tuple({**columns, **{key: known[key] for key in config.keys}}.values())


def build_join(config: OnlineConfig, *, columns: tuple[Column, ...], label: str) -> Join:
    """The join that the flags describe."""
    rule = RuleSettings(
        window=config.window_hours * _HOUR,
        history=config.history_days * DAY,
        threshold=config.threshold,
        cap=config.cap_hours * _HOUR,
        minimum=config.minimum,
        capacity=config.max_keys,
    )
    settings = JoinSettings(
        late=config.late,
        wait=config.wait,
        fixed=config.wait_hours * _HOUR,
        rule=rule,
        keys=config.keys,
        label=label,
        window=config.attribution_hours * _HOUR,
        lateness=config.lateness_minutes * 60.0,
        jump=config.jump_hours * _HOUR,
        tick=config.tick_seconds,
        young=config.young_days * DAY,
        capacity=config.max_waiting,
        width=config.report_hours * _HOUR,
        settle=config.settle_days * DAY,
    )
    return Join(settings, columns=columns)
