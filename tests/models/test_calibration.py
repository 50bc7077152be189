"""Platt scaling of logits: what is fitted, when nothing is, and what it changes in a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from fullrank import models
from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.models.calibration import Calibration, calibrate, fit_calibration, tasks_with_own_logit

IDS = IdMap(kind="identity", size=40)
SCHEMA = Schema(
    name="calibrated",
    features=(Sparse(name="user", side="user", ids=IDS), Sparse(name="ad", side="ad", ids=IDS)),
    labels=(
        Label(name="click", mean=0.3, observed=1.0),
        Label(name="like", mean=0.1, observed=1.0),
        Label(name="spend", type="value", mean=2.0, positive=0.1, minimum=0.0, observed=1.0),
    ),
    splits=(Split(name="train", shards=(Shard(file="train-0", examples=4000),)),),
)
DRAWN = np.random.default_rng(7)
BATCH = {name: tf.constant(DRAWN.integers(0, 40, 32)) for name in ("user", "ad")}


def ranker(*, tasks: tuple[str, ...] = ("click", "like"), **options: Any) -> models.Ranker:
    given = models.RankerOptions(tower=(5,), dropout=0.1, **options)
    return models.Ranker(SCHEMA, models.single(width=4, experts=("flat",), tasks=tasks, expert_width=6), given)


def drawn(size: int, *, scale: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels with the probability sigmoid(scale f + shift), and f."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(-1.0, 2.0, size)
    return (draw.random(size) < expit(scale * logits + shift)).astype(np.float64), logits


def test_finds_the_planted_scale_and_shift() -> None:
    labels, logits = drawn(200_000, scale=0.6, shift=-0.4)
    found = fit_calibration(labels=labels, logits=logits)
    assert found is not None
    # Four standard errors, about .005 and .007.
    assert found.scale == pytest.approx(0.6, abs=0.02)
    assert found.shift == pytest.approx(-0.4, abs=0.028)


def test_by_hand() -> None:
    # With f = -1 and 1 there are as many numbers as groups of rows, so the fit meets the mean label of both: with 400
    # rows of f = -1 of which 100 are 1, and 400 of f = 1 of which 200 are 1. Platt's labels are 301 / 302 and 1 / 502.
    labels = np.repeat([1.0, 0.0, 1.0, 0.0], [100, 300, 200, 200])
    logits = np.repeat([-1.0, 1.0], 400)
    low = (100 * 301 / 302 + 300 / 502) / 400
    high = (200 * 301 / 302 + 200 / 502) / 400
    a, b = np.log(low / (1 - low)), np.log(high / (1 - high))
    found = fit_calibration(labels=labels, logits=logits)
    assert found is not None
    np.testing.assert_allclose(found, ((b - a) / 2, (a + b) / 2), rtol=1e-6)


def test_calibrated_logits_stay_as_they_are() -> None:
    # Evidence of log(2000) nats comes by chance in one of 2,000 sets.
    kept = [
        fit_calibration(labels=labels, logits=logits)
        for labels, logits in (drawn(2000, scale=1.0, shift=0.0, seed=seed) for seed in range(100))
    ]
    assert sum(each is not None for each in kept) <= 1


@pytest.mark.parametrize("positives", [60, 300, 10_000])
def test_rare_positives_are_fitted_as_exactly(positives: int) -> None:
    """Against steps of Newton's method on all rows, until they no longer move."""
    size = 200_000
    draw = np.random.default_rng(positives)
    logits = draw.normal(np.log(positives / size), 1.0, size)
    labels = (draw.random(size) < expit(2.0 * logits - np.log(positives / size))).astype(np.float64)
    found = fit_calibration(labels=labels, logits=logits)
    ones = labels.sum()
    smooth = np.where(labels == 1, (ones + 1) / (ones + 2), 1 / (size - ones + 2))
    columns, exact = np.stack([logits, np.ones(size)]), np.array([1.0, 0.0])
    for _ in range(50):
        likely = expit(exact @ columns)
        exact -= np.linalg.solve((columns * likely * (1 - likely)) @ columns.T, columns @ (likely - smooth))
    assert found is not None
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_a_few_heavy_rows_are_little_evidence() -> None:
    """Rows of unequal weight count as (sum w)^2 / sum w^2, here 43, and pass by chance as rarely as so many."""
    kept = []
    for seed in range(100):
        labels, logits = drawn(2000, scale=1.0, shift=0.0, seed=seed)
        weights = np.exp(np.random.default_rng(seed).normal(0.0, 2.0, 2000))
        kept.append(fit_calibration(labels=labels, logits=logits, weights=weights))
    # By chance one of 43.
    assert sum(each is not None for each in kept) <= 8


def test_weights_count_as_rows_do_and_a_row_without_label_or_weight_not_at_all() -> None:
    labels, logits = drawn(3000, scale=0.5, shift=1.0)
    twice = fit_calibration(labels=np.tile(labels, 2), logits=np.tile(logits, 2))
    more = np.concatenate([np.full(50, np.nan), np.ones(50)])
    weighted = fit_calibration(
        labels=np.concatenate([labels, more]),
        logits=np.concatenate([logits, np.full(100, 9.0)]),
        weights=np.concatenate([np.full(3000, 7.0), np.ones(50), np.zeros(50)]),
    )
    assert twice is not None
    assert weighted is not None
    np.testing.assert_allclose(weighted, twice, rtol=2e-3)  # Platt's labels depend on the number of rows


@pytest.mark.parametrize(
    ("labels", "logits"),
    [
        (np.ones(500), np.linspace(-1, 1, 500)),
        (np.full(500, np.nan), np.linspace(-1, 1, 500)),
        (np.tile([0.0, 1.0], 250), np.zeros(500)),
        (np.zeros(0), np.zeros(0)),
        (np.repeat([1.0, 0.0], 250), np.linspace(-3, 3, 500)),
        (np.tile([0.0, 1.0], 250), np.full(500, np.nan)),
    ],
    ids=["one kind", "no label", "one logit", "no rows", "reversed", "not finite"],
)
def test_nothing_is_fitted_without_reason(labels: np.ndarray, logits: np.ndarray) -> None:
    assert fit_calibration(labels=labels, logits=logits) is None


@pytest.mark.parametrize("unit", [1e-3, 1.0, 3.0])
def test_separated_labels_have_a_finite_scale_in_any_unit(unit: float) -> None:
    logits = np.linspace(-1, 1, 500)
    found = fit_calibration(labels=(logits > 0).astype(np.float64), logits=unit * logits)
    assert found is not None
    assert np.isfinite(found).all()
    assert 1.0 < found.scale * unit < 1e4


def test_a_model_gives_the_calibrated_logit_of_its_task_alone() -> None:
    model = ranker()
    before = {task: logit.numpy() for task, logit in model.logits(BATCH).items()}
    calibrate(model, {"like": Calibration(scale=0.7, shift=-0.3)})
    after = model.logits(BATCH)
    np.testing.assert_allclose(after["like"], 0.7 * before["like"] - 0.3, rtol=1e-5)
    np.testing.assert_array_equal(after["click"], before["click"])


def test_every_scenario_of_a_task_is_calibrated() -> None:
    tasks = models.scenario_tasks(("click", "like"), scenarios=(1, 2))
    wiring = dataclasses.replace(
        models.single(width=4, experts=("flat",), tasks=tasks, expert_width=6), scenarios=(1, 2)
    )
    schema = Schema(
        name="scenes",
        features=(*SCHEMA.features, Sparse(name="scene", ids=IdMap(kind="identity", size=4))),
        labels=SCHEMA.labels,
        splits=SCHEMA.splits,
    )
    model = models.Ranker(schema, wiring, models.RankerOptions(tower=(5,), scenario="scene"))
    batch = {**BATCH, "scene": tf.constant(DRAWN.integers(0, 4, 32))}
    for weight in model.head.weights:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2)))
    before = {task: logit.numpy() for task, logit in model.logits(batch).items()}
    calibrate(model, {"click": Calibration(scale=2.0, shift=0.5)})
    np.testing.assert_allclose(model.logits(batch)["click"], 2.0 * before["click"] + 0.5, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.logits(batch)["like"], before["like"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("click", "like")),
        ({"tasks": ("click", "spend")}, ("click",)),
        ({"chain": ("click", "like")}, ()),
        ({"head": "laplace"}, ()),
    ],
    ids=["binary", "value", "chain", "uncertain"],
)
def test_only_a_logit_that_is_the_probability_is_calibrated(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    model = ranker(**given)
    assert tasks_with_own_logit(model) == expected
    calibrate(model, {})
    for task in {"click", "spend"} - set(expected):
        with pytest.raises(ValueError, match=f"Task '{task}' has no logit of its own"):
            calibrate(model, {task: Calibration(1.0, 0.0)})
