"""The zero-inflated log-normal by hand and against scipy, and what must not contribute."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from fullrank.models.objectives import lognormal_scale, ziln_loss, ziln_mean, ziln_quantile
from fullrank.models.objectives.losses import binary_cross_entropy, squared_error

NAN = float("nan")


def test_loss_by_hand() -> None:
    # p = 3/4. y = e: -ln(3/4), and with mu = 0, s = 2: ln y + ln s + ln(2 pi)/2 + (1/2)^2/2. y = 0: -ln(1/4).
    loss = ziln_loss(
        labels=tf.constant([np.e, 0.0], tf.float32),
        logits=tf.fill([2], np.float32(np.log(3))),
        location=tf.zeros(2),
        scale=tf.fill([2], 2.0),
    )
    expected = (np.log(4 / 3) + 1 + np.log(2) + 0.5 * np.log(2 * np.pi) + 1 / 8 + np.log(4)) / 2
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-6)


def test_loss_against_scipy() -> None:
    draw = np.random.default_rng(1)
    labels = np.where(draw.random((50, 2)) < 0.5, 0.0, draw.lognormal(2.0, 1.5, (50, 2))).astype(np.float32)
    labels[::7, 1] = NAN
    logits, location, raw = (draw.normal(size=(50, 2)).astype(np.float32) for _ in range(3))
    weights = draw.random(50).astype(np.float32)
    scale = lognormal_scale(tf.constant(raw)).numpy()
    np.testing.assert_allclose(scale, 0.01 + np.log1p(np.exp(raw)), rtol=1e-6)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = []
    for task in range(2):
        total, weight = 0.0, 0.0
        for row in range(50):
            y = labels[row, task]
            if np.isnan(y):
                continue
            density = stats.lognorm(s=scale[row, task], scale=np.exp(location[row, task])).logpdf(y) if y > 0 else 0.0
            total -= weights[row] * (np.log(p[row, task] if y > 0 else 1 - p[row, task]) + density)
            weight += weights[row]
        expected.append(total / weight)
    loss = ziln_loss(
        labels=tf.constant(labels),
        logits=tf.constant(logits),
        location=tf.constant(location),
        scale=tf.constant(scale),
        weights=tf.constant(weights),
    )
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


def test_only_zeros_is_cross_entropy() -> None:
    labels, logits = tf.constant([0.0, -3.0]), tf.constant([0.3, -2.0])
    loss = ziln_loss(labels=labels, logits=logits, location=tf.zeros(2), scale=tf.ones(2))
    np.testing.assert_allclose(loss, binary_cross_entropy(labels=tf.zeros(2), logits=logits), rtol=1e-6)


def test_what_was_not_observed_has_no_gradient() -> None:
    parts = [tf.Variable([0.5, 1.0, 2.0]) for _ in range(3)]
    with tf.GradientTape() as tape:
        logits, location, raw = parts
        labels = tf.constant([NAN, 0.0, 7.0])
        loss = ziln_loss(labels=labels, logits=logits, location=location, scale=lognormal_scale(raw))
    of_logits, of_location, of_scale = (gradient.numpy() for gradient in tape.gradient(loss, parts))
    assert of_logits[0] == of_location[0] == of_scale[0] == 0.0
    assert of_location[1] == of_scale[1] == 0.0  # a zero says nothing on the size of positive values
    assert (of_logits[1:] != 0).all()
    assert of_location[2] != 0


def test_extremes_stay_finite() -> None:
    ends = np.array([-1e4, -80.0, 80.0, 1e4], np.float32)
    parts = [tf.Variable(ends), tf.Variable(ends[::-1].copy()), tf.Variable(ends)]
    for label in (0.0, 1e-30, 1.0, 1e30, NAN):
        with tf.GradientTape() as tape:
            logits, location, scale = parts[0], parts[1], lognormal_scale(parts[2])
            loss = ziln_loss(labels=tf.fill([4], label), logits=logits, location=location, scale=scale)
        assert np.isfinite(loss.numpy())
        assert all(np.isfinite(gradient.numpy()).all() for gradient in tape.gradient(loss, parts))
    for predicted in (
        ziln_mean(logits=logits, location=location, scale=scale),
        ziln_quantile(0.9, logits=logits, location=location, scale=scale),
    ):
        assert np.isfinite(predicted.numpy()).all()


def test_mean_by_hand_and_by_simulation() -> None:
    # p = 1/2, mu = ln 2, s = 1: e^(1/2).
    mean = ziln_mean(logits=tf.zeros(1), location=tf.fill([1], np.float32(np.log(2))), scale=tf.ones(1))
    np.testing.assert_allclose(mean.numpy(), [np.exp(0.5)], rtol=1e-6)
    draw = np.random.default_rng(2)
    values = np.where(draw.random(10**6) < 0.5, draw.lognormal(np.log(2), 1.0, 10**6), 0.0)
    np.testing.assert_allclose(mean.numpy(), [values.mean()], rtol=0.01)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9, 0.999])
def test_quantiles_against_scipy(quantile: float) -> None:
    logits = np.array([-3.0, 0.2, 2.0, 20.0], np.float32)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    found = ziln_quantile(quantile, logits=tf.constant(logits), location=tf.fill([4], 0.7), scale=tf.fill([4], 1.3))
    inside = np.maximum((quantile - (1 - p)) / p, 0.0)
    np.testing.assert_allclose(found.numpy(), stats.lognorm(s=1.3, scale=np.exp(0.7)).ppf(inside), rtol=1e-4)
    assert (found.numpy()[quantile <= 1 - p] == 0).all()


def test_squared_error_by_hand() -> None:
    labels, predictions = tf.constant([1.0, NAN, -2.0]), tf.Variable([3.0, 5.0, -1.0])
    with tf.GradientTape() as tape:
        loss = squared_error(labels=labels, predictions=predictions, weights=tf.constant([3.0, 1.0, NAN]))
    # Weights 3 and 1 of the observed ones: (3 * 4 + 1 * 1) / 4.
    assert float(loss) == pytest.approx(13 / 4)
    np.testing.assert_allclose(tape.gradient(loss, predictions).numpy(), [3.0, 0.0, 0.5])
