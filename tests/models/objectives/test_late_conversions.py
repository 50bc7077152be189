"""Losses of late conversions: numbers by hand, slow references, and a minimum at the truth over a whole stream."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models import objectives as o

Y = tf.constant([1.0, 0.0])
F = tf.constant([math.log(0.25), math.log(0.25)])  # p = 0.2 on both rows


def _gradient(loss: Any, at: tf.Tensor) -> np.ndarray[Any, Any]:
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = loss(at)
    found: np.ndarray[Any, Any] = tape.gradient(value, at).numpy()
    return found


def test_naive_by_hand() -> None:
    loss = o.weighted_cross_entropy(labels=Y, logits=F, weights=tf.constant([2.0, 1.0]))
    assert float(loss) == pytest.approx((2 * -math.log(0.2) - math.log(0.8)) / 2)
    assert float(o.weighted_cross_entropy(labels=Y[:0], logits=F[:0])) == 0.0


def test_fnw_by_hand() -> None:
    np.testing.assert_allclose(o.fnw_weights(labels=Y, logits=F), [1.2, 0.8 * 1.2], rtol=1e-6)
    loss = o.fnw_loss(labels=Y, logits=F)
    assert float(loss) == pytest.approx((1.2 * -math.log(0.2) - 0.96 * math.log(0.8)) / 2)
    # The weight is a constant: w (p - y) / B and nothing else.
    np.testing.assert_allclose(_gradient(lambda f: o.fnw_loss(labels=Y, logits=f), F), [-0.48, 0.096], rtol=1e-5)


def test_fnc_by_hand() -> None:
    # b = p / (1 + p) = 1/6.
    np.testing.assert_allclose(tf.sigmoid(o.fnc_logits(F)), [1 / 6, 1 / 6], rtol=1e-6)
    assert float(o.fnc_loss(labels=Y, logits=F)) == pytest.approx((-math.log(1 / 6) - math.log(5 / 6)) / 2)


def test_es_dfm_by_hand() -> None:
    given = {"delayed": tf.constant([0.1, 0.1]), "real_negative": tf.constant([0.9, 0.75])}
    np.testing.assert_allclose(o.es_dfm_weights(labels=Y, **given), [1.1, 1.1 * 0.75], rtol=1e-6)
    loss = o.es_dfm_loss(labels=Y, logits=F, weights=tf.constant([1.0, 2.0]), **given)
    assert float(loss) == pytest.approx((1.1 * -math.log(0.2) - 2 * 0.825 * math.log(0.8)) / 2)


def test_es_dfm_without_a_wait_is_fnw() -> None:
    p = tf.sigmoid(F)
    ours = o.es_dfm_loss(labels=Y, logits=F, delayed=p, real_negative=1.0 - p)
    assert float(ours) == pytest.approx(float(o.fnw_loss(labels=Y, logits=F)))


def test_es_dfm_classifiers_do_not_learn_from_the_loss() -> None:
    with tf.GradientTape() as tape:
        tape.watch(F)
        p = tf.sigmoid(F)
        loss = o.es_dfm_loss(labels=Y, logits=tf.zeros(2), delayed=p, real_negative=1.0 - p)
    assert tape.gradient(loss, F) is None


def test_targets_of_es_dfm() -> None:
    delayed, real = o.es_dfm_targets(
        converted=tf.constant([True, True, False]), in_time=tf.constant([True, False, False])
    )
    np.testing.assert_array_equal(delayed, [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(real, [np.nan, 0.0, 1.0])


def test_dfm_by_hand() -> None:
    # lambda = 2 a day, d = e = 1/2 day: exp(-lambda d) = 1/e.
    given = {"log_rate": tf.fill([2], math.log(2.0)), "elapsed": tf.fill([2], 0.5)}
    loss = o.dfm_loss(labels=Y, logits=F, seen_silent=tf.fill([2], float("nan")), **given)
    negative = -math.log(0.8 + 0.2 / math.e)
    assert float(loss) == pytest.approx((-(math.log(0.2) + math.log(2.0) - 1.0) + negative) / 2, rel=1e-5)


def test_a_late_positive_and_its_silence_are_one_click_of_dfm() -> None:
    given = {"logits": F[:1], "log_rate": tf.constant([0.3])}
    nan = tf.constant([float("nan")])
    once = o.dfm_loss(labels=Y[:1], elapsed=tf.constant([0.9]), seen_silent=nan, **given)
    silent = o.dfm_loss(labels=Y[1:], elapsed=tf.constant([0.4]), seen_silent=nan, **given)
    late = o.dfm_loss(labels=Y[:1], elapsed=tf.constant([0.9]), seen_silent=tf.constant([0.4]), **given)
    assert float(silent + late) == pytest.approx(float(once), rel=1e-6)


def test_dfm_learns_nothing_from_a_click_at_once() -> None:
    nan = tf.constant([float("nan")])

    def loss(f: tf.Tensor) -> tf.Tensor:
        return o.dfm_loss(
            labels=Y[1:], logits=f, log_rate=tf.constant([0.3]), elapsed=tf.constant([0.0]), seen_silent=nan
        )

    assert float(loss(F[1:])) == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_allclose(_gradient(loss, F[1:]), 0.0, atol=1e-7)


def test_dfm_is_finite_far_out() -> None:
    f = tf.constant([-80.0, 80.0, -80.0, 80.0])

    def loss(at: tf.Tensor) -> tf.Tensor:
        return o.dfm_loss(
            labels=tf.constant([0.0, 0.0, 1.0, 1.0]),
            logits=at,
            log_rate=tf.constant([-9.0, 9.0, 9.0, -9.0]),
            elapsed=tf.fill([4], 3.0),
            seen_silent=tf.constant([float("nan"), float("nan"), 1.0, 2.0]),
        )

    assert math.isfinite(float(loss(f)))
    assert np.isfinite(_gradient(loss, f)).all()


def test_slow_references() -> None:
    draw = np.random.default_rng(3)
    y = draw.integers(0, 2, 50).astype(np.float32)
    f, a, dp, rn, w = (draw.normal(size=50), draw.normal(size=50), *draw.random((3, 50)))
    d, s = draw.random(50) + 1.0, np.where(draw.random(50) < 0.5, np.nan, draw.random(50))
    sums = dict.fromkeys(("naive", "fnw", "fnc", "es_dfm", "dfm"), 0.0)
    for i in range(50):
        p, rate = 1 / (1 + math.exp(-f[i])), math.exp(a[i])
        own = -math.log(p) if y[i] else -math.log(1 - p)
        sums["naive"] += w[i] * own
        sums["fnw"] += w[i] * own * ((1 + p) if y[i] else (1 - p) * (1 + p))
        b = p / (1 + p)
        sums["fnc"] += w[i] * (-math.log(b) if y[i] else -math.log(1 - b))
        sums["es_dfm"] += w[i] * own * (1 + dp[i]) * (1.0 if y[i] else rn[i])
        if y[i]:
            likelihood = p * rate * math.exp(-rate * d[i])
            likelihood /= 1.0 if math.isnan(s[i]) else 1 - p + p * math.exp(-rate * s[i])
        else:
            likelihood = 1 - p + p * math.exp(-rate * d[i])
            likelihood /= 1.0 if math.isnan(s[i]) else 1 - p + p * math.exp(-rate * s[i])
        sums["dfm"] -= w[i] * math.log(likelihood)
    given = {name: tf.constant(v, tf.float32) for name, v in {"labels": y, "logits": f, "weights": w}.items()}
    found = {
        "naive": o.weighted_cross_entropy(**given),
        "fnw": o.fnw_loss(**given),
        "fnc": o.fnc_loss(**given),
        "es_dfm": o.es_dfm_loss(**given, delayed=tf.constant(dp), real_negative=tf.constant(rn)),
        "dfm": o.dfm_loss(
            **given, log_rate=tf.constant(a), elapsed=tf.constant(d), seen_silent=tf.constant(s, tf.float32)
        ),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: total / 50 for name, total in sums.items()}, rel=1e-4
    )


TRUTH, IN_TIME = 0.3, 0.4
"""Rate of conversion, and the share of conversions that come within the wait."""


@pytest.mark.parametrize("late", ["naive", "fnw", "fnc", "es_dfm", "dfm"])
def test_gradients_over_a_whole_stream_vanish_at_the_truth(late: str) -> None:
    """Expected gradients at the true rate, over everything a stream holds of a click, with its shares as weights."""
    p = TRUTH
    f = tf.fill([4], math.log(p / (1 - p)))
    # In time, not in time, late, never. DFM alone sees a click again that never converts.
    y = tf.constant([1.0, 0.0, 1.0, 0.0])
    share = tf.constant([p * IN_TIME, 1 - p * IN_TIME, p * (1 - IN_TIME), (1 - p) * (late == "dfm")])
    if late in ("fnw", "fnc"):  # nothing waits: everyone is a negative, and who converts a positive
        share = tf.constant([0.0, 1.0, p, 0.0])
    if late == "naive":
        share = tf.constant([p * IN_TIME, 1 - p * IN_TIME, 0.0, 0.0])
    delayed, silent = p * (1 - IN_TIME), 1 - p * IN_TIME

    def loss(at: tf.Tensor) -> tf.Tensor:
        given = {"labels": y, "logits": at, "weights": share}
        if late == "es_dfm":
            rest = tf.fill([4], (1 - p) / silent)
            return o.es_dfm_loss(**given, delayed=tf.fill([4], delayed), real_negative=rest)
        if late == "dfm":  # lambda = 1, and a wait w with 1 - exp(-w) in time; delays do not matter for f
            wait = -math.log(1 - IN_TIME)
            elapsed = tf.constant([wait, wait, wait, 60.0])
            seen = tf.constant([float("nan"), float("nan"), wait, wait])
            return o.dfm_loss(**given, log_rate=tf.zeros(4), elapsed=elapsed, seen_silent=seen)
        if late == "naive":
            return o.weighted_cross_entropy(**given)
        return (o.fnw_loss if late == "fnw" else o.fnc_loss)(**given)

    slope = float(_gradient(loss, f).sum())
    assert slope == pytest.approx(0.0, abs=1e-6) if late != "naive" else abs(slope) > 0.01
