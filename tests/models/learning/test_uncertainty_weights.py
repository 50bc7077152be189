"""Weights learned from the tasks' uncertainty, by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fullrank.models.learning.objective import UncertaintyWeights


def test_uncertainty_weights_by_hand() -> None:
    weights = UncertaintyWeights()
    losses = tf.constant([0.5, 0.2])
    np.testing.assert_allclose(weights(losses).numpy(), 0.35, rtol=1e-6)
    # s = (ln 2, 0): (0.5 / 2 + ln 2 + 0.2) / 2; without the first task 0.2 / 2.
    weights.log_variance.assign([np.log(2.0), 0.0])
    np.testing.assert_allclose(weights(losses).numpy(), (0.25 + np.log(2) + 0.2) / 2, rtol=1e-6)
    with tf.GradientTape() as tape:
        loss = weights(losses, tf.constant([False, True]))
    np.testing.assert_allclose(loss.numpy(), 0.1, rtol=1e-6)
    # d/ds (exp(-s) L + s) / 2 = (1 - exp(-s) L) / 2 for the task that was seen.
    np.testing.assert_allclose(tape.gradient(loss, weights.log_variance).numpy(), [0.0, 0.4], rtol=1e-6)


def test_uncertainty_weights_come_to_rest_at_the_log_of_the_loss() -> None:
    weights, losses = UncertaintyWeights(), tf.constant([0.5, 0.2])
    weights(losses)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = weights(losses)
        weights.log_variance.assign_sub(0.5 * tape.gradient(loss, weights.log_variance))
    np.testing.assert_allclose(weights.log_variance.numpy(), np.log([0.5, 0.2]), rtol=1e-4)
