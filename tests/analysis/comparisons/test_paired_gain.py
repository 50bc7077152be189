"""Comparison of two models on the same rows: NE gain by segment, and repeated exposures when candidates are ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fullrank.analysis.comparisons.paired_gain import ALL, paired_gain
from fullrank.analysis.policies.exposure_replay import exposure_replay
from fullrank.models.metrics import BinaryEvaluator

Array = np.ndarray[Any, Any]


def test_gain_by_hand() -> None:
    # Segment a: labels 1, 0; the baseline says 1/2, loss 2 ln 2 = the entropy, NE 1. The model says 3/4 and 1/4, loss
    # 2 ln(4/3): NE ln(4/3) / ln 2 = 0.41504, gain 58.496 %. Segment b is the reverse: 3/4 and 1/4 first, then 1/2:
    # NE 0.41504 and 1, gain 1 - ln 2 / ln(4/3) = -140.94 %. Together both models lose the same: gain 0.
    found = paired_gain(
        labels=[1, 0, 1, 0],
        baseline=[0.5, 0.5, 0.75, 0.25],
        predictions=[0.75, 0.25, 0.5, 0.5],
        segments=["a", "a", "b", "b"],
    )
    a, b = found.segments
    np.testing.assert_allclose([a.ne_baseline, a.ne, a.gain], [1.0, 0.415037, 58.4963], rtol=1e-5)
    np.testing.assert_allclose([b.ne_baseline, b.ne, b.gain], [0.415037, 1.0, -140.942], rtol=1e-5)
    np.testing.assert_allclose(found.overall.gain, 0.0, atol=1e-9)
    assert (found.overall.segment, found.overall.examples, found.overall.keys) == (ALL, 4, 4)
    # Two rows are too few for an interval, and so for a statement on the worst.
    assert {each.verdict for each in (a, b, found.overall)} == {"too few keys"}
    assert np.isnan([a.low, a.high_of_all, found.overall.low]).all()
    assert found.worst() is None
    assert "worst" not in found.describe()


def rows(number: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(-2, 1, number)
    users = generator.integers(0, number // 8, number)
    country = np.array(["de", "fr", "jp"])[users % 3]
    labels = (generator.random(number) < 1 / (1 + np.exp(-logits))).astype(float)
    noisy = logits + generator.normal(0, 0.5, number)
    # The model knows the logit, but for jp, where it knows less than the baseline.
    better = np.where(country == "jp", logits + generator.normal(0, 1.5, number), logits)
    return {
        "labels": labels,
        "baseline": 1 / (1 + np.exp(-noisy)),
        "predictions": 1 / (1 + np.exp(-better)),
        "segments": country,
        "keys": users,
        "weights": generator.random(number) + 0.5,
    }


def test_ne_is_that_of_the_evaluation_and_verdicts_are_found() -> None:
    data = rows(6000)
    found = paired_gain(**data, draws=300)
    for name, ne in (("baseline", "ne_baseline"), ("predictions", "ne")):
        evaluator = BinaryEvaluator(task="click", segments=("country",))
        evaluator.update(
            labels=data["labels"],
            scores=data[name],
            weights=data["weights"],
            segments={"country": data["segments"]},
        )
        result = evaluator.result()
        np.testing.assert_allclose(getattr(found.overall, ne), result["ne"], rtol=1e-6)
        for segment in found.segments:
            expected = result["segments"]["country"][segment.segment]["ne"]
            np.testing.assert_allclose(getattr(segment, ne), expected, rtol=1e-6)
    verdicts = {segment.segment: segment.verdict for segment in found.segments}
    assert verdicts == {"de": "better", "fr": "better", "jp": "worse"}
    for segment in (found.overall, *found.segments):
        assert segment.low < segment.gain < segment.high
    worst = found.worst()
    assert worst is not None
    assert (worst.segment, worst.verdict_of_all) == ("jp", "worse")
    assert found.describe().splitlines()[-1].startswith(f"worst segment: jp, NE gain {worst.gain:+.3f} % [")
    for segment in found.segments:
        # What holds for all at once is wider; what holds for one cannot be without it.
        assert segment.low_of_all < segment.low < segment.high < segment.high_of_all
        np.testing.assert_allclose(segment.high_of_all - segment.gain, segment.gain - segment.low_of_all)
    assert np.isnan(found.overall.low_of_all)
    # Two columns of segments share the chance of being wrong.
    shared = paired_gain(**data, draws=300, columns=2).segments[0]
    assert shared.low == found.segments[0].low
    assert shared.low_of_all < found.segments[0].low_of_all
    assert found.worst(min_keys=10**6) is None


def test_rows_of_one_key_are_not_independent() -> None:
    # 200 rows, each written five times: by row the interval is too narrow, by key it is that of the 200.
    data = rows(200)
    once: dict[str, Any] = {name: data[name] for name in ("labels", "baseline", "predictions")}
    five: dict[str, Any] = {name: np.repeat(values, 5) for name, values in once.items()}
    single = paired_gain(**once).overall
    by_key = paired_gain(**five, keys=np.repeat(np.arange(200), 5)).overall
    by_row = paired_gain(**five).overall
    np.testing.assert_allclose([by_key.low, by_key.high], [single.low, single.high], rtol=1e-9)
    assert (by_row.high - by_row.low) < 0.6 * (by_key.high - by_key.low)


def test_equal_models_have_no_gain_and_seeds_repeat() -> None:
    data = rows(300)
    same = paired_gain(**{**data, "predictions": data["baseline"]}).overall
    assert same.gain == same.low == same.high == 0.0
    assert same.verdict == "not resolved"
    # By their text, because NaN is not equal to itself.
    assert repr(paired_gain(**data, seed=3)) == repr(paired_gain(**data, seed=3))
    assert paired_gain(**data, seed=3).overall.low != paired_gain(**data, seed=4).overall.low


def test_what_is_not_defined_is_nan() -> None:
    found = paired_gain(
        labels=[1, 0, 0, 0, np.nan, 1],
        baseline=[0.5] * 6,
        predictions=[0.6] * 6,
        segments=[b"both", b"both", b"one class", b"one class", b"unseen", b"both"],
        keys=[7, 7, 8, 9, 9, 7],
        weights=[1, 1, 1, 1, 1, 0],
    )
    both, one = found.segments
    assert (both.segment, both.examples, both.keys) == ("both", 2, 1)
    assert not np.isnan(both.gain)
    assert np.isnan([both.low, both.high, one.gain, one.low]).all()
    assert found.worst() is None
    assert "worst" not in found.describe()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": [1]}, r"columns of one length; received .*keys \(1,\)"),
        ({"labels": [np.nan, np.nan]}, "an observed row"),
        ({"draws": 0}, "draws >= 1. Received: 0"),
    ],
)
def test_bad_columns_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_gain(**{"labels": [1, 0], "baseline": [0.5, 0.5], "predictions": [0.5, 0.5], **change})


def test_replay_by_hand() -> None:
    # Request 1 has candidates x (repeated) and y; request 2 has x (repeated) and z (repeated); request 3 only w. The
    # baseline shows x, x, w: 2 repeats of 3. The model shows y, z, w: 1 of 3, half as many.
    found = exposure_replay(
        requests=[1, 1, 2, 2, 3],
        repeated=[True, False, True, True, False],
        baseline=[0.9, 0.1, 0.8, 0.2, 0.5],
        scores=[0.1, 0.9, 0.2, 0.8, 0.5],
        labels=[1, 0, 1, 0, np.nan],
    )
    assert (found.requests, found.shown) == (3, 3)
    np.testing.assert_allclose([found.share_baseline, found.share, found.change], [2 / 3, 1 / 3, -50.0])
    assert (found.auc_baseline, found.auc) == (1.0, 0.0)
    both = exposure_replay(
        requests=[1, 1, 2], repeated=[True, False, True], baseline=[0, 1, 0], scores=[1, 0, 1], slots=2
    )
    assert (both.shown, both.share, both.change) == (3, 2 / 3, 0.0)
    assert np.isnan(both.auc)


def test_replay_equals_the_loop() -> None:
    generator = np.random.default_rng(0)
    requests = generator.integers(0, 80, 600)
    repeated = generator.random(600) < 0.3
    baseline = generator.normal(size=600)
    scores = np.round(baseline - 0.7 * repeated, 1)  # with ties
    found = exposure_replay(requests=requests, repeated=repeated, baseline=baseline, scores=scores, slots=2)
    shares = []
    for values in (baseline, scores):
        shown = []
        for request in np.unique(requests):
            of_request = np.flatnonzero(requests == request)
            shown += sorted(of_request, key=lambda i: (-values[i], i))[:2]
        shares.append(np.mean(repeated[shown]))
    np.testing.assert_allclose([found.share_baseline, found.share], shares)
    assert found.low < found.change < found.high < 0


def test_replay_names_what_is_wrong() -> None:
    good: dict[str, Any] = {"requests": [1], "repeated": [True], "baseline": [0.1], "scores": [0.1]}
    for change, message in (
        ({"scores": [0.1, 0.2]}, "columns of one length"),
        ({"scores": [np.nan]}, "received 1 NaN and slots=1"),
        ({"slots": 0}, "slots=0"),
    ):
        with pytest.raises(ValueError, match=message):
            exposure_replay(**{**good, **change})
    none = exposure_replay(**{**good, "repeated": [False]})
    assert np.isnan([none.change, none.low]).all()
