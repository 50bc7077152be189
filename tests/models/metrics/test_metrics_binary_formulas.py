"""The binary formulas: numbers by hand, scikit-learn as reference, and agreement of NumPy and TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from fullrank.models.metrics.array_ops import NUMPY
from fullrank.models.metrics.binary_formulas import STATISTICS, binary_rows, binary_statistics
from fullrank.models.metrics.evaluator import BinaryEvaluator
from fullrank.models.metrics.logit_grid import LOGIT_CLIP, LogitGrid
from fullrank.models.metrics.tensorflow_ops import TENSORFLOW


def evaluate(labels: Any, scores: Any, weights: Any = None, **options: Any) -> dict[str, Any]:
    evaluator = BinaryEvaluator(task="click", **options)
    evaluator.update(labels=labels, scores=scores, weights=weights)
    return evaluator.result()


def sigmoid(logits: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.asarray(logits)))


def draw_clicks(*, rows: int, mean: float, spread: float, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    scores = sigmoid(generator.normal(mean, spread, rows)).astype(np.float32)
    return (generator.random(rows) < scores).astype(np.float32), scores


def test_four_rows_by_hand() -> None:
    result = evaluate([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    # Pairs (positive, negative): .35 > .1, .35 < .4, .8 > .1, .8 > .4: three of four.
    assert result["auc"] == pytest.approx(0.75, abs=1e-12)
    loss = -(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4
    assert result["log_loss"] == pytest.approx(loss, abs=1e-12)
    # The base rate is 1/2, whose entropy is log 2.
    assert result["ne"] == pytest.approx(loss / math.log(2.0), abs=1e-12)
    # sum p = 1.65, two positives; each of the four rows is a calibration group of its own.
    assert result["bias"] == pytest.approx(1.65 / 2, abs=1e-12)
    assert result["mean_prediction"] == pytest.approx(1.65 / 4, abs=1e-12)
    assert result["ece"] == pytest.approx((0.1 + 0.4 + 0.65 + 0.2) / 4, abs=1e-12)
    assert (result["base_rate"], result["examples"], result["positives"], result["weight"]) == (0.5, 4, 2, 4.0)
    assert "undefined" not in result


def test_weights_by_hand() -> None:
    result = evaluate([0, 1, 1], [0.5, 0.5, 0.2], weights=[1.0, 3.0, 2.0])
    # The negative ties with a positive of weight 3 (one half) and beats the one of weight 2: 1.5 of 5.
    assert result["auc"] == pytest.approx(0.3, abs=1e-12)
    assert result["log_loss"] == pytest.approx(-(4 * math.log(0.5) + 2 * math.log(0.2)) / 6, abs=1e-12)
    assert result["base_rate"] == pytest.approx(5 / 6, abs=1e-12)
    assert result["bias"] == pytest.approx((4 * 0.5 + 2 * 0.2) / 5, abs=1e-12)
    # Group .5: |2 - 3| = 1; group .2: |.4 - 2| = 1.6; weight 6.
    assert result["ece"] == pytest.approx(2.6 / 6, abs=1e-12)
    assert (result["examples"], result["positives"], result["weight"]) == (3, 2, 6.0)


def test_constant_prediction_of_the_base_rate_has_ne_one() -> None:
    result = evaluate([1, 0, 0, 0], [0.25] * 4)
    assert result["ne"] == pytest.approx(1.0, abs=1e-12)
    assert result["auc"] == 0.5
    assert result["ece"] == pytest.approx(0.0, abs=1e-12)
    assert result["bias"] == pytest.approx(1.0, abs=1e-12)


def test_calibration_groups_hold_equal_mass() -> None:
    # 40 rows, 20 groups of two; every second row is a positive: each group is off by |p1 + p2 - 1| / 2 on average.
    scores = (np.arange(40) + 0.5) / 40
    result = evaluate(np.arange(40) % 2, scores)
    expected = np.mean(np.abs(scores.reshape(20, 2).sum(axis=1) - 1.0)) / 2
    assert result["ece"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bins", [2**12, 2**14])
@pytest.mark.parametrize(("mean", "spread"), [(-5.0, 1.0), (-3.0, 0.5), (0.0, 2.0)])
def test_auc_is_within_1e_4_of_scikit_learn(mean: float, spread: float, bins: int) -> None:
    labels, scores = draw_clicks(rows=20_000, mean=mean, spread=spread)
    assert abs(evaluate(labels, scores, bins=bins)["auc"] - roc_auc_score(labels, scores)) < 1e-4


def test_weighted_rows_with_ties_agree_with_scikit_learn() -> None:
    labels, scores = draw_clicks(rows=3000, mean=-1.0, spread=1.0)
    scores = np.round(scores, 1).clip(0.05, 0.95)
    weights = np.random.default_rng(1).random(3000) + 0.1
    result = evaluate(labels, scores, weights)
    assert result["auc"] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    expected = log_loss(labels, scores.astype(np.float64), sample_weight=weights)
    assert result["log_loss"] == pytest.approx(expected, abs=1e-12)


def test_a_weight_is_worth_as_many_rows() -> None:
    labels, scores = draw_clicks(rows=200, mean=-1.0, spread=1.0)
    times = np.random.default_rng(2).integers(1, 4, 200)
    weighted = evaluate(labels, scores, times)
    repeated = evaluate(np.repeat(labels, times), np.repeat(scores, times))
    for statistic in STATISTICS:
        assert weighted[statistic] == pytest.approx(repeated[statistic], abs=1e-12), statistic


def test_certain_scores_cost_a_clipped_loss() -> None:
    result = evaluate([0, 1, 0, 1], [0.0, 1.0, 1.0, 0.0])
    # Two rows are right, at a cost of -log(1 - 1e-7), two are wrong, at -log(1e-7).
    assert result["log_loss"] == pytest.approx((-math.log1p(-1e-7) - math.log(1e-7)) / 2, rel=1e-9)
    assert result["auc"] == 0.5
    assert result["mean_prediction"] == 0.5


def test_logits_and_their_probabilities_agree() -> None:
    logits = np.array([-1e30, -40.0, -3.0, 0.0, 2.0, 15.0, 1e30])
    labels = np.array([0, 1, 0, 1, 1, 0, 1])
    from_logits, from_scores = (
        evaluate(labels, logits, from_logits=True),
        evaluate(labels, sigmoid(logits.clip(-50, 50))),
    )
    for statistic in STATISTICS:
        assert from_logits[statistic] == pytest.approx(from_scores[statistic], rel=1e-9), statistic


def test_soft_labels_count_on_both_sides() -> None:
    soft = evaluate([0.25, 0.5], [0.3, 0.6])
    split = evaluate([1, 0, 1, 0], [0.3, 0.3, 0.6, 0.6], weights=[0.25, 0.75, 0.5, 0.5])
    for statistic in STATISTICS:
        assert soft[statistic] == pytest.approx(split[statistic], abs=1e-12), statistic


@pytest.mark.parametrize(
    ("label", "undefined", "reason"),
    [(0, {"auc", "ne", "bias"}, "no positive label"), (1, {"auc", "ne"}, "no negative label")],
)
def test_one_class_says_what_is_not_defined(label: int, undefined: set[str], reason: str) -> None:
    result = evaluate([label] * 3, [0.2, 0.4, 0.6])
    assert set(result["undefined"]) == undefined
    assert result["undefined"]["auc"] == reason
    assert all((result[key] is None) == (key in undefined) for key in STATISTICS)


def test_no_rows_say_what_is_not_defined() -> None:
    result = evaluate([], [])
    assert all(result[key] is None for key in STATISTICS)
    assert result["undefined"] == dict.fromkeys(STATISTICS, "no observed label of positive weight")
    assert (result["examples"], result["positives"], result["weight"]) == (0, 0, 0.0)


def test_rows_without_label_or_weight_leave_no_trace() -> None:
    kept = evaluate([0, 1, 1], [0.1, 0.3, 0.2], weights=[1.0, 2.0, 3.0])
    result = evaluate([0, math.nan, 1, 1, 1], [0.1, math.nan, 0.3, 0.2, math.nan], weights=[1.0, 5.0, 2.0, 3.0, 0.0])
    assert result == kept


def test_a_nan_score_shows_in_the_log_loss() -> None:
    rows = binary_rows(
        labels=np.array([0.0, 1.0]),
        scores=np.array([math.nan, 0.5]),
        weights=np.ones(2),
        from_logits=False,
        grid=LogitGrid(),
        ops=NUMPY,
    )
    assert rows.bin[0] == -1
    assert np.isnan(np.sum(rows.totals[3]))


def test_the_grid_orders_and_bounds_logits() -> None:
    grid = LogitGrid(bins=6, limit=2.0)
    # A step is 1: bins (-inf, -2), [-2, -1), [-1, 0), [0, 1), [1, 2), [2, inf).
    logits = np.array([-LOGIT_CLIP, -2.0, -1.0, -0.001, 0.0, 1.999, 2.0, LOGIT_CLIP])
    np.testing.assert_array_equal(grid.index(logits, ops=NUMPY), [0, 1, 2, 2, 3, 4, 5, 5])


@pytest.mark.parametrize("options", [{"bins": 2}, {"limit": 0.0}, {"limit": 17.0}])
def test_a_grid_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"received (bins|limit)="):
        LogitGrid(**options)


SCORES = st.one_of(st.sampled_from([0.0, 1e-9, 0.5, 0.5, 1.0]), st.floats(0.0, 1.0, width=32))
ROWS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, math.nan]), SCORES, st.sampled_from([0.0, 0.5, 1.0])), max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_numpy_and_tensorflow_agree(rows: list[tuple[float, float, float]]) -> None:
    labels, scores, weights = np.array(rows, np.float64).reshape(-1, 3).T
    grid = LogitGrid(bins=512)
    found = []
    for ops, convert in ((NUMPY, np.asarray), (TENSORFLOW, tf.constant)):
        summands = binary_rows(
            labels=convert(labels),
            scores=convert(scores),
            weights=convert(weights),
            from_logits=False,
            grid=grid,
            ops=ops,
        )
        histogram = np.zeros((3, grid.bins))
        for column, values in zip(histogram, summands.columns, strict=True):
            np.add.at(column, np.asarray(summands.bin), np.asarray(values))
        totals = np.array([np.sum(np.asarray(values)) for values in summands.totals])
        statistics = binary_statistics(histogram=convert(histogram), totals=convert(totals), ops=ops)
        found.append([float(statistics[key]) for key in STATISTICS])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_any_rows_give_statistics_in_range(rows: list[tuple[float, float, float]]) -> None:
    labels, scores, weights = np.array(rows, np.float64).reshape(-1, 3).T
    result = evaluate(labels, scores, weights)
    used = ~np.isnan(labels) & (weights > 0)
    assert result["examples"] == used.sum()
    classes = np.unique(labels[used])
    assert (result["auc"] is None) == (classes.size < 2)
    for key in ("auc", "ece", "base_rate", "mean_prediction"):
        assert result[key] is None or -1e-12 <= result[key] <= 1.0 + 1e-12
    for key in ("ne", "bias", "log_loss"):
        assert result[key] is None or 0.0 <= result[key] < math.inf
    if classes.size == 2:
        # Rows of one bin count as tied; scores of different bins are ordered as they are.
        bins = LogitGrid().index(
            np.log(np.clip(scores, 1e-7, 1 - 1e-7)) - np.log1p(-np.clip(scores, 1e-7, 1 - 1e-7)), ops=NUMPY
        )
        expected = roc_auc_score(labels[used], bins[used], sample_weight=weights[used])
        assert result["auc"] == pytest.approx(expected, abs=1e-9)
