"""Losses by hand, and what must not contribute."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy


def test_by_hand() -> None:
    # f = 0: ln 2 for either label. f = ln 3: sigma = 3/4, so -ln(3/4) for y = 1 and -ln(1/4) for y = 0.
    labels, logits = tf.constant([1.0, 1.0, 0.0]), tf.constant([0.0, np.log(3.0), np.log(3.0)], tf.float32)
    expected = (np.log(2) + np.log(4 / 3) + np.log(4)) / 3
    np.testing.assert_allclose(binary_cross_entropy(labels=labels, logits=logits).numpy(), expected, rtol=1e-6)


def test_weights_by_hand() -> None:
    labels, logits = tf.constant([1.0, 0.0]), tf.constant([0.0, np.log(3.0)], tf.float32)
    loss = binary_cross_entropy(labels=labels, logits=logits, weights=tf.constant([1.0, 3.0]))
    np.testing.assert_allclose(loss.numpy(), (np.log(2) + 3 * np.log(4)) / 4, rtol=1e-6)


def test_gradient_is_probability_minus_label_over_the_observed() -> None:
    labels, logits = tf.constant([1.0, float("nan"), 0.0]), tf.Variable([0.5, 2.0, -1.0])
    with tf.GradientTape() as tape:
        loss = binary_cross_entropy(labels=labels, logits=logits)
    gradient = tape.gradient(loss, logits).numpy()
    sigma = 1 / (1 + np.exp(-logits.numpy()))
    np.testing.assert_allclose(gradient, [(sigma[0] - 1) / 2, 0.0, sigma[2] / 2], rtol=1e-6)
    assert gradient[1] == 0.0


def test_nothing_observed_is_zero_not_nan() -> None:
    labels, logits = tf.constant([float("nan")] * 2), tf.Variable([1.0, 2.0])
    with tf.GradientTape() as tape:
        loss = binary_cross_entropy(labels=labels, logits=logits)
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, logits).numpy(), [0.0, 0.0])


def test_extreme_logits_stay_finite() -> None:
    labels = tf.constant([1.0, 0.0])
    for logits in (tf.constant([1e4, -1e4]), tf.constant([-1e4, 1e4])):
        assert np.isfinite(binary_cross_entropy(labels=labels, logits=logits).numpy())
