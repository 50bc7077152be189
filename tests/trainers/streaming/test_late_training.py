"""The step of online training: weights and gradients of each loss, and what the model of delays learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.streaming.delay_model import DELAYED, REAL, WAITED, build_delay_model
from fullrank.trainers.streaming.late_training import LateTraining
from fullrank.trainers.streaming.training_rows import COMPLETE, LATE, NEGATIVE, POSITIVE, TrainingRows
from fullrank.trainers.training.build_model import build_model, compile_model

SCHEMA = Schema(
    name="toy",
    features=(Sparse(name="ad", ids=IdMap(kind="identity", size=4)),),
    labels=(Label(name="buy", mean=0.2),),
    weight="importance",
)
CONFIG = RunConfig(
    data=DataConfig(data="none"),
    model=ModelConfig(model="single", widths=(4,), experts=("flat",), hidden=(4,), tower=(), dropout=0.0),
    optimizer=OptimizerConfig(learning_rate=0.02, table_learning_rate=0.2),
    train=TrainConfig(output="none"),
)
COLUMNS = (Column(name="ad", dtype="int64"), Column(name="importance", dtype="float32"))


def make(late: Any) -> tuple[LateTraining, Ranker, Ranker | None]:
    model = build_model(CONFIG.model, SCHEMA)
    compile_model(model, CONFIG.optimizer, total_steps=1)
    delays = build_delay_model(CONFIG, SCHEMA, late=late)
    return LateTraining(model, delays, late=late, columns=COLUMNS, weight="importance"), model, delays


def taken(roles: Any, *, ads: Any, weights: Any = 1.0, elapsed: Any = 0.0, waited: float = 3600.0) -> Any:
    queue, n = TrainingRows(), len(roles)
    batch = {"ad": np.asarray(ads), "importance": np.broadcast_to(np.asarray(weights, np.float32), n)}
    roles = np.asarray(roles)
    silent = np.where((roles == LATE) | (roles == COMPLETE), waited, np.nan)
    elapsed = np.broadcast_to(np.asarray(elapsed, np.float64), n)
    queue.add(batch, ids=np.arange(n), role=roles, elapsed=elapsed, silent=silent, waited=np.full(n, waited))
    return queue.take(n)


@pytest.mark.parametrize("late", ["naive", "oracle", "fnw", "fnc", "es_dfm", "dfm"])
def test_weights_are_those_of_the_loss(late: str) -> None:
    training, model, delays = make(late)
    rows = taken([NEGATIVE, LATE, POSITIVE], ads=[0, 1, 2], weights=[1.0, 2.0, np.nan])
    p = training.score(rows)
    factor = np.ones(3)
    if late == "fnw":
        factor = (1 + p) * np.where([True, False, False], 1 - p, 1.0)
    elif late == "es_dfm":
        assert delays is not None
        chances = delays({"ad": rows["ad"], WAITED: np.full(3, np.log1p(1.0), np.float32)}, training=False)
        negative = np.where([True, False, False], chances[REAL], 1.0)
        factor = (1 + chances[DELAYED].numpy()) * negative
        np.testing.assert_allclose(factor, 1.0, atol=0.05)  # nothing is known of delays yet
    before = [variable.numpy() for variable in model.trainable_variables]
    loss, weights = training.step(rows)
    np.testing.assert_allclose(weights, factor * [1.0, 2.0, 1.0], rtol=1e-5)
    assert np.isfinite(loss)
    if late in ("naive", "fnw", "es_dfm"):
        y = np.array([0.0, 1.0, 1.0])
        assert loss == pytest.approx(np.mean(weights * -np.log(np.where(y > 0.5, p, 1 - p))), rel=1e-4)
    assert any((old != new.numpy()).any() for old, new in zip(before, model.trainable_variables, strict=True))


def test_the_delay_model_learns_who_converts_late() -> None:
    training, _, delays = make("es_dfm")
    assert delays is not None
    # Ad 0 never converts late; ad 1 converts late with probability 1/2, and otherwise never.
    draw = np.random.default_rng(0)
    for _ in range(150):
        ads = draw.integers(0, 2, 64)
        late = (ads == 1) & (draw.random(64) < 0.5)
        training.delay_step(taken(np.full(64, COMPLETE), ads=ads, elapsed=np.where(late, 7200.0, np.nan)))
    wait = np.full(2, np.log1p(1.0), np.float32)
    found = delays({"ad": np.array([0, 1]), WAITED: wait}, training=False)
    np.testing.assert_allclose(found[DELAYED], [0.0, 0.5], atol=0.1)
    np.testing.assert_allclose(found[REAL], [1.0, 0.5], atol=0.1)


def test_weights_of_tasks_are_those_of_the_first_model_alone() -> None:
    weighted = dataclasses.replace(CONFIG.model, tasks=("buy",), task_weights=("buy:2",))
    delays = build_delay_model(dataclasses.replace(CONFIG, model=weighted), SCHEMA, late="es_dfm")
    assert delays is not None
    assert delays.options.task_weights == ()


def test_the_importance_weights_train_no_delay_model() -> None:
    training, _, delays = make("es_dfm")
    assert delays is not None
    before = [variable.numpy() for variable in delays.variables]
    training.step(taken([NEGATIVE, LATE], ads=[0, 1]))
    assert all((old == new.numpy()).all() for old, new in zip(before, delays.variables, strict=True))


def test_dfm_trains_both_models() -> None:
    training, model, delays = make("dfm")
    assert delays is not None
    variables = [*model.trainable_variables, *delays.trainable_variables]
    before = [variable.numpy() for variable in variables]
    training.step(taken([NEGATIVE, POSITIVE, LATE], ads=[0, 1, 2], elapsed=[3600.0, 1800.0, 7200.0]))
    changed = [(old != new.numpy()).any() for old, new in zip(before, variables, strict=True)]
    assert any(changed[: len(model.trainable_variables)])
    assert any(changed[len(model.trainable_variables) :])


def test_numbers_of_rows_may_differ() -> None:
    training, _, _ = make("naive")
    for size in (1, 3, 2):
        assert training.score({"ad": np.zeros(size, np.int64), "importance": np.ones(size, np.float32)}).shape == (
            size,
        )
    assert training._score.experimental_get_tracing_count() == 1
