"""The evaluators over streams of batches: segments, keys, merging, and what they refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from fullrank.models.metrics import BinaryEvaluator, RegressionEvaluator, group_auc
from fullrank.models.metrics.segments import SegmentRows

ROWS = 600


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    scores = 1.0 / (1.0 + np.exp(-generator.normal(-1.0, 1.0, ROWS)))
    labels = (generator.random(ROWS) < scores).astype(np.float64)
    labels[generator.random(ROWS) < 0.1] = math.nan
    countries = np.array([b"de", b"fr", b"us"], object)[generator.integers(0, 3, ROWS)]
    return {
        "labels": labels,
        "scores": scores,
        "weights": generator.choice([0.0, 1.0, 2.0], ROWS),
        "keys": generator.integers(0, 40, ROWS),
        "segments": {"country": countries, "hour": generator.integers(0, 24, ROWS)},
    }


def part(rows: dict[str, Any], chosen: Any) -> dict[str, Any]:
    return {
        name: {key: value[chosen] for key, value in column.items()} if name == "segments" else column[chosen]
        for name, column in rows.items()
    }


def evaluator(**options: Any) -> BinaryEvaluator:
    return BinaryEvaluator(task="click", segments=("country", "hour"), key="user", **options)


def approximately(result: Any) -> Any:
    """Pytest compares nested numbers approximately only one level deep."""
    if isinstance(result, dict):
        return {key: approximately(value) for key, value in result.items()}
    return pytest.approx(result, rel=1e-9) if isinstance(result, float) else result


def test_batches_equal_the_whole(rows: dict[str, Any]) -> None:
    whole, streamed = evaluator(), evaluator()
    whole.update(**rows)
    for start in range(0, ROWS, 77):
        streamed.update(**part(rows, slice(start, start + 77)))
    assert streamed.result() == approximately(whole.result())


def test_a_segment_is_an_evaluation_of_its_rows(rows: dict[str, Any]) -> None:
    full = evaluator()
    full.update(**rows)
    result = full.result()
    assert set(result["segments"]) == {"country", "hour"}
    assert set(result["segments"]["country"]) == {"de", "fr", "us"}
    assert set(result["segments"]["hour"]) == {str(hour) for hour in range(24)}
    for segment, value, name in (("country", b"fr", "fr"), ("hour", 5, "5")):
        alone = evaluator()
        alone.update(**part(rows, rows["segments"][segment] == value))
        expected = alone.result()
        del expected["segments"]
        assert result["segments"][segment][name] == approximately(expected)


def test_gauc_is_that_of_the_rows(rows: dict[str, Any]) -> None:
    full = evaluator()
    full.update(**rows)
    result = full.result()
    columns = {name: rows[name] for name in ("keys", "labels", "weights")}
    # Scores are kept in float32.
    expected = group_auc(scores=rows["scores"].astype(np.float32), **columns)
    assert result["gauc"] == pytest.approx(expected, rel=1e-12)
    assert 0 < result["gauc_keys"] <= 40
    assert 0.0 < result["gauc_share"] <= 1.0


def test_gauc_coverage_by_hand() -> None:
    found = BinaryEvaluator(task="click", key="user")
    found.update(labels=[1, 0, 0, 0], scores=[0.9, 0.1, 0.5, 0.5], keys=[1, 1, 2, 3])
    result = found.result()
    assert (result["gauc"], result["gauc_keys"], result["gauc_share"]) == (1.0, 1, 0.5)


def test_gauc_without_a_mixed_key_gives_the_reason() -> None:
    found = BinaryEvaluator(task="click", key="user")
    found.update(labels=[1, 0], scores=[0.9, 0.1], keys=[1, 2])
    result = found.result()
    assert result["gauc"] is None
    assert result["undefined"] == {"gauc": "no user has both classes"}


def test_without_key_there_is_no_gauc() -> None:
    found = BinaryEvaluator(task="click")
    found.update(labels=[1, 0], scores=[0.9, 0.1])
    result = found.result()
    assert result["gauc"] is None
    assert "undefined" not in result
    assert "gauc_keys" not in result


@pytest.mark.parametrize("cut", [0, 1, 250, ROWS])
def test_merged_parts_equal_the_whole(rows: dict[str, Any], cut: int) -> None:
    whole, first, second = evaluator(), evaluator(), evaluator()
    whole.update(**rows)
    first.update(**part(rows, slice(cut)))
    second.update(**part(rows, slice(cut, None)))
    first.merge(second)
    assert first.result() == approximately(whole.result())


def test_merging_others_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot merge evaluators made with"):
        evaluator().merge(evaluator(bins=64))


def test_values_beyond_the_limit_share_an_entry() -> None:
    found = BinaryEvaluator(task="click", segments=("ad",), max_segment_values=2)
    # Of the first batch's values 7 and 9 are the most frequent; 8 and all later ones are the rest.
    found.update(labels=[1, 0, 0, 1, 1, 0], scores=[0.5] * 6, segments={"ad": [8, 7, 9, 7, 9, 7]})
    found.update(labels=[1, 0, 1], scores=[0.5] * 3, segments={"ad": [6, 9, 6]})
    ads = found.result()["segments"]["ad"]
    assert {name: entry["examples"] for name, entry in ads.items()} == {"(other)": 3, "7": 3, "9": 3}
    assert {name: entry["positives"] for name, entry in ads.items()} == {"(other)": 3, "7": 1, "9": 1}


def test_segment_rows_are_lent_to_many_values_and_named_apart() -> None:
    directory = SegmentRows(name="ad", max_values=10)
    np.testing.assert_array_equal(directory.rows(values=np.array([b"\xff", b"(other)", b"\\xff"], object)), [1, 2, 3])
    assert directory.names() == ["(other)", "\\xff", "(other)'", "\\xff'"]
    with pytest.raises(ValueError, match=r"max_values lies in 1\.\.65535; received 0"):
        SegmentRows(name="ad", max_values=0)


def test_the_result_is_json(rows: dict[str, Any]) -> None:
    found = evaluator()
    found.update(**rows)
    result = found.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_scores_of_other_float_types_are_taken(rows: dict[str, Any]) -> None:
    found = BinaryEvaluator(task="click")
    found.update(labels=np.array([[1], [0]], np.int64), scores=np.array([[0.75], [0.25]], np.float16))
    assert found.result()["auc"] == 1.0


def test_ten_million_rows_count_exactly() -> None:
    found = BinaryEvaluator(task="click")
    scores, labels = np.full(100_000, 0.25, np.float32), (np.arange(100_000) % 4 == 0).astype(np.float32)
    for _ in range(100):
        found.update(labels=labels, scores=scores)
    result = found.result()
    assert (result["examples"], result["positives"]) == (10_000_000, 2_500_000)
    assert result["bias"] == 1.0
    assert result["ne"] == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 2]}, r"a label lies in \[0, 1\]; received 2\.0"),
        ({"scores": [0.1, 1.5]}, r"a probability lies in \[0, 1\]; received 1\.5"),
        ({"scores": [0.1, math.nan]}, "1 of 2 scores are NaN or infinite; the model has diverged"),
        ({"scores": [math.inf, 0.1]}, "1 of 2 scores are NaN or infinite; the model has diverged"),
        ({"scores": [0.1]}, "2 labels but 1 scores"),
        ({"weights": [1.0, -1.0]}, r"a weight is finite and not negative; received -1\.0"),
        ({"weights": [1.0, math.inf]}, "a weight is finite and not negative; received inf"),
        ({"keys": None}, "GAUC by 'user' needs keys; received none"),
        ({"keys": [1]}, "2 labels but 1 keys"),
        ({"keys": [0.5, 1.5]}, "column 'user' holds ids: give integers, bytes or strings; received dtype float64"),
        ({"segments": None}, r"made for segments \['ad'\]; received \[\]"),
        ({"segments": {"ad": [1], "x": [1]}}, r"made for segments \['ad'\]; received \['ad', 'x'\]"),
        ({"segments": {"ad": [1]}}, "2 labels but 1 values of segment 'ad'"),
        ({"segments": {"ad": [0.5, 1.0]}}, "column 'ad' holds ids"),
    ],
)
def test_bad_batches_are_refused_whole(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"labels": [0, 1], "scores": [0.1, 0.2], "keys": [1, 2], "segments": {"ad": [1, 2]}}
    found = BinaryEvaluator(task="click", segments=("ad",), key="user")
    with pytest.raises(ValueError, match=message):
        found.update(**{**good, **change})
    assert found.result()["examples"] == 0


def test_regression_by_hand() -> None:
    found = RegressionEvaluator(task="spend", segments=("country",))
    # Errors 1, -2, 0 at weights 1, 2, 1; the fourth row has no label.
    found.update(
        labels=[1.0, 4.0, 3.0, math.nan],
        scores=[2.0, 2.0, 3.0, math.nan],
        weights=[1.0, 2.0, 1.0, 1.0],
        segments={"country": ["de", "de", "fr", "fr"]},
    )
    result = found.result()
    assert result["rmse"] == pytest.approx(math.sqrt((1 + 2 * 4) / 4))
    assert result["mae"] == pytest.approx((1 + 2 * 2) / 4)
    assert result["bias"] == pytest.approx((2 + 4 + 3) / (1 + 8 + 3))
    assert (result["mean_label"], result["mean_prediction"]) == (3.0, 2.25)
    assert (result["examples"], result["weight"]) == (3, 4.0)
    assert result["segments"]["country"]["fr"] == {
        "rmse": 0.0,
        "mae": 0.0,
        "bias": 1.0,
        "mean_label": 3.0,
        "mean_prediction": 3.0,
        "gini": None,
        "decile_error": 0.0,
        "examples": 1,
        "weight": 1.0,
        "undefined": {"gini": "all labels are equal"},
    }


def test_regression_without_a_label_that_counts_is_undefined_with_the_reason() -> None:
    found = RegressionEvaluator(task="spend")
    found.update(labels=[1.0, math.nan], scores=[2.0, 2.0], weights=[0.0, 1.0])
    result = found.result()
    names = {"rmse", "mae", "bias", "mean_label", "mean_prediction", "gini", "decile_error"}
    assert result["undefined"] == dict.fromkeys(names, "no observed label of positive weight")
    assert all(result[name] is None for name in names)
    json.dumps(result, allow_nan=False)
    found = RegressionEvaluator(task="spend")
    found.update(labels=[0.0, -1.0], scores=[2.0, 2.0])
    assert found.result()["undefined"] == dict.fromkeys(["bias", "decile_error"], "labels whose sum is not positive")


@pytest.mark.parametrize(
    "keys", [[1, 1, -1, -1, -1, 2], [b"a", b"a", b"", b"", b"", b"b"], ["a", "a", "", "", "", "b"]]
)
def test_rows_without_a_key_are_left_out_of_gauc_and_counted(keys: list[Any]) -> None:
    # Key 1 orders its rows rightly; the rows without a key, taken for one, would have an AUC of 0.
    found = BinaryEvaluator(task="click", key="user", segments=("country",))
    labels, scores = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0], [0.2, 0.6, 0.1, 0.7, 0.8, 0.9]
    countries = {"country": ["de", "de", "fr", "fr", "", ""]}
    found.update(labels=labels, scores=scores, keys=np.array(keys), segments=countries)
    result = found.result()
    assert (result["gauc"], result["gauc_keys"], result["gauc_rows_without_key"]) == (1.0, 1, 3)
    assert result["gauc_share"] == pytest.approx(2 / 6)
    assert group_auc(keys=np.array(keys), labels=labels, scores=scores) == 1.0
    segments = result["segments"]["country"]
    assert {name: entry["gauc_rows_without_key"] for name, entry in segments.items()} == {
        "de": 0,
        "fr": 2,
        "(missing)": 1,
    }
    assert segments["fr"]["undefined"]["gauc"] == "no user has both classes"


def test_metrics_of_one_class_name_the_class_that_is_missing() -> None:
    for label, reason in ((0.0, "no positive label"), (1.0, "no negative label")):
        found = BinaryEvaluator(task="click")
        found.update(labels=[label, label], scores=[0.2, 0.6])
        assert found.result()["undefined"]["auc"] == reason
    found = BinaryEvaluator(task="click")
    found.update(labels=[1.0, 0.0], scores=[0.2, 0.6], weights=[0.0, 0.0])
    assert found.result()["undefined"]["log_loss"] == "no observed label of positive weight"


def test_regression_parts_equal_the_whole(rows: dict[str, Any]) -> None:
    rows = {name: column for name, column in rows.items() if name != "keys"}
    whole, first, second = (RegressionEvaluator(task="spend", segments=("country", "hour")) for _ in range(3))
    whole.update(**rows)
    first.update(**part(rows, slice(200)))
    second.update(**part(rows, slice(200, None)))
    first.merge(second)
    assert first.result() == approximately(whole.result())
    with pytest.raises(ValueError, match="cannot merge evaluators of segments"):
        first.merge(RegressionEvaluator(task="spend"))


def test_regression_without_rows_is_none() -> None:
    result = RegressionEvaluator(task="spend").result()
    assert result["rmse"] is None
    assert result["gini"] is None
    assert result["decile_error"] is None
    assert result["deciles"]["mean_label"] == []
    assert result["examples"] == 0


def test_roc_by_hand() -> None:
    found = BinaryEvaluator(task="click")
    found.update(labels=[0, 0, 1, 1], scores=[0.1, 0.4, 0.35, 0.8])
    curve = found.roc()
    # From the highest score down: positive, negative, positive, negative.
    np.testing.assert_array_equal(curve["true_positive_rate"], [0.0, 0.5, 0.5, 1.0, 1.0])
    np.testing.assert_array_equal(curve["false_positive_rate"], [0.0, 0.0, 0.5, 0.5, 1.0])


def test_a_thinned_roc_keeps_its_ends_and_area(rows: dict[str, Any]) -> None:
    found = BinaryEvaluator(task="click")
    scores = np.linspace(0.001, 0.999, 5000)
    found.update(labels=np.arange(5000) % 3 == 0, scores=scores)
    curve = found.roc()
    tpr, fpr = curve["true_positive_rate"], curve["false_positive_rate"]
    assert tpr.size <= 1000
    assert (tpr[0], fpr[0], tpr[-1], fpr[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (np.diff(tpr) >= 0).all()
    assert np.trapezoid(tpr, fpr) == pytest.approx(found.result()["auc"], abs=1e-3)


def test_reliability_by_hand() -> None:
    found = BinaryEvaluator(task="click")
    found.update(labels=[0, 1, 0, 1], scores=[0.1, 0.2, 0.3, 0.9], weights=[1.0, 1.0, 1.0, 1.0])
    table = found.reliability(groups=2)
    np.testing.assert_allclose(table["mean_prediction"], [0.15, 0.6])
    np.testing.assert_allclose(table["observed_rate"], [0.5, 0.5])
    np.testing.assert_allclose(table["examples"], [2.0, 2.0])


def test_reliability_counts_effective_examples() -> None:
    found = BinaryEvaluator(task="click")
    # Weights 3, 1, 1, 1: sum 6, squares 12, so the 4 rows are worth 36 / 12 = 3 and each half 1.5.
    found.update(labels=[0, 1, 0, 1], scores=[0.1, 0.2, 0.3, 0.9], weights=[3.0, 1.0, 1.0, 1.0])
    table = found.reliability(groups=2)
    np.testing.assert_allclose(table["examples"], [1.5, 1.5])
    np.testing.assert_allclose(table["observed_rate"], [0.0, 2 / 3])


def test_ties_leave_groups_empty() -> None:
    found = BinaryEvaluator(task="click")
    found.update(labels=[0, 1, 0, 1], scores=[0.5] * 4)
    assert found.reliability()["examples"].tolist() == [4.0]
    empty = BinaryEvaluator(task="click").reliability()
    assert empty["examples"].size == 0
