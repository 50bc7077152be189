"""Normalised Gini and deciles of predicted values, by hand and in the limits that are known otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fullrank.models.metrics import RegressionEvaluator, StreamingRegression, StreamingValues
from fullrank.models.metrics.value_ranking import decile_error, deciles, normalised_gini


def gini(labels: Any, predictions: Any, weights: Any = None) -> float:
    y, p = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    w = np.ones(y.size) if weights is None else np.asarray(weights, np.float64)
    return normalised_gini(labels=y, predictions=p, weights=w)


def test_gini_by_hand() -> None:
    # Gained in order of prediction: 0, 4, 5 of 5, with areas (0 + 2 + 4.5) / 3 - 2.5 = -1/3; in order of label: 4, 5, 5
    # with (2 + 4.5 + 5) / 3 - 2.5 = 4/3.
    assert gini([0, 4, 1], [9, 8, 7]) == pytest.approx(-1 / 4)
    assert gini([0, 4, 1], [0, 7, 2]) == pytest.approx(1)
    assert gini([0, 4, 1], [5, 5, 5]) == pytest.approx(0)
    assert math.isnan(gini([2, 2], [1, 3]))


def test_gini_of_two_classes_is_two_auc_minus_one() -> None:
    draw = np.random.default_rng(0)
    labels, weights = draw.integers(0, 2, 300), draw.random(300) + 0.1
    predictions = np.round(draw.normal(size=300) + labels, 1)  # with ties
    auc = roc_auc_score(labels, predictions, sample_weight=weights)
    assert gini(labels, predictions, weights) == pytest.approx(2 * auc - 1, rel=1e-9)


def test_gini_does_not_depend_on_units_or_the_order_of_rows() -> None:
    draw = np.random.default_rng(1)
    labels, predictions, weights = draw.lognormal(size=200), draw.normal(size=200), draw.random(200) + 0.1
    order = draw.permutation(200)
    expected = gini(labels, predictions, weights)
    assert gini(50 * labels[order], np.exp(predictions[order]), 3 * weights[order]) == pytest.approx(expected)


def test_deciles_by_hand() -> None:
    predictions = np.arange(20.0)
    labels = predictions + np.tile([1.0, -1.0], 10)
    found = deciles(labels=labels[::-1], predictions=predictions[::-1], weights=np.ones(20))
    np.testing.assert_allclose(found["mean_prediction"], np.arange(10) * 2 + 0.5)
    np.testing.assert_allclose(found["mean_label"], found["mean_prediction"])
    assert decile_error(found) == 0
    # Twice what was seen: off by all of it.
    double = deciles(labels=labels, predictions=2 * labels, weights=np.ones(20))
    assert decile_error(double) == pytest.approx(1)


def test_equal_predictions_stay_together() -> None:
    found = deciles(labels=np.arange(30.0), predictions=np.full(30, 7.0), weights=np.ones(30))
    np.testing.assert_allclose(found["mean_label"], [14.5])
    np.testing.assert_allclose(found["weight"], [30])


def test_the_evaluator_gives_both_for_every_segment() -> None:
    draw = np.random.default_rng(2)
    labels, predictions = draw.lognormal(size=400), draw.lognormal(size=400)
    country = draw.choice(["de", "fr"], 400)
    evaluator = RegressionEvaluator(task="spend", segments=("country",))
    for part in (slice(150), slice(150, None)):
        evaluator.update(labels=labels[part], scores=predictions[part], segments={"country": country[part]})
    result = evaluator.result()
    assert result["gini"] == pytest.approx(gini(labels, predictions))
    for value, entry in result["segments"]["country"].items():
        own = country == value
        assert entry["gini"] == pytest.approx(gini(labels[own], predictions[own]))
        found = deciles(labels=labels[own], predictions=predictions[own], weights=np.ones(own.sum()))
        assert entry["decile_error"] == pytest.approx(decile_error(found))


def test_all_tasks_at_once_equal_one_by_one() -> None:
    draw = np.random.default_rng(3)
    labels, predictions, weights = draw.normal(size=(50, 3)), draw.normal(size=(50, 3)), draw.random(50)
    labels[::3, 1] = np.nan
    tasks = ("spend", "visits", "days")
    together = StreamingValues(tasks)
    for part in (slice(20), slice(20, None)):
        together.update_state(labels[part], predictions[part], weights[part])
    result = together.result()
    assert tuple(result) == together.keys
    for place, task in enumerate(tasks):
        alone = StreamingRegression(task)
        alone.update_state(labels[:, place], predictions[:, place], weights)
        for name, value in alone.result().items():
            assert float(result[name]) == pytest.approx(float(value), nan_ok=True), name
    copy = StreamingValues.from_config(together.get_config())
    assert copy.keys == together.keys
    together.reset_state()
    assert math.isnan(float(together.result()["days_rmse"]))
