"""Gauss-Hermite quadrature and the evidence bound by hand, against NumPy, and in their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers import calibrated_probability
from fullrank.layers.uncertainty.gauss_hermite import bernoulli_log_likelihood, gaussian_expectation
from fullrank.models.objectives import negative_elbo
from fullrank.models.objectives.losses import binary_cross_entropy


def test_polynomials_are_exact() -> None:
    # E f^2 = mean^2 + variance; E f^4 = mean^4 + 6 mean^2 variance + 3 variance^2.
    mean, variance = tf.constant([1.0, -2.0], tf.float64), tf.constant([0.5, 3.0], tf.float64)
    squares = gaussian_expectation(tf.square, mean=mean, variance=variance, points=3)
    np.testing.assert_allclose(squares, [1.5, 7.0], rtol=1e-12)
    fourth = gaussian_expectation(lambda f: f**4, mean=mean, variance=variance, points=3)
    np.testing.assert_allclose(fourth, [1 + 3 + 0.75, 16 + 72 + 27], rtol=1e-12)


@pytest.mark.parametrize("variance", [0.0, 0.3, 3.0, 10.0])
def test_probability_and_likelihood_equal_a_fine_sum(variance: float) -> None:
    means = np.array([-6.0, -2.0, 0.0, 1.5])
    steps = np.linspace(-10, 10, 40_001)
    density = np.exp(-0.5 * steps**2)
    logits = means[:, None] + math.sqrt(variance) * steps
    sums = (1 / (1 + np.exp(-logits))) @ density / density.sum()
    mean, spread = tf.constant(means, tf.float32), tf.fill([4], tf.constant(variance, tf.float32))
    np.testing.assert_allclose(calibrated_probability(mean=mean, variance=spread), sums, atol=1e-3)
    expected = -np.logaddexp(0, -logits) @ density / density.sum()
    found = bernoulli_log_likelihood(labels=tf.ones(4), mean=mean, variance=spread)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_an_uncertain_logit_is_nearer_to_one_half() -> None:
    found = calibrated_probability(mean=tf.constant([-3.0, -3.0, -3.0]), variance=tf.constant([0.0, 1.0, 9.0])).numpy()
    np.testing.assert_allclose(found[0], 1 / (1 + math.exp(3)), rtol=1e-5)
    assert found[0] < found[1] < found[2] < 0.5


def test_negative_elbo_by_hand() -> None:
    # Without variance, cross entropy; of the two observed labels log(1 + e^-1) = 0.313262 and log(1 + e^2) = 2.126928,
    # weighted 3 to 1: (0.939785 + 2.126928) / 4 = 0.766678. And 50 / 100.
    labels, mean = tf.constant([1.0, 0.0, float("nan")]), tf.constant([1.0, 2.0, 5.0])
    weights = tf.constant([3.0, 1.0, 9.0])
    bound = {"labels": labels, "mean": mean, "variance": tf.zeros(3), "weights": weights}
    found = negative_elbo(**bound, divergence=tf.constant(50.0), examples=100)
    np.testing.assert_allclose(found, 0.766678 + 0.5, rtol=1e-5)
    np.testing.assert_allclose(
        negative_elbo(**bound, divergence=tf.constant(0.0), examples=100),
        binary_cross_entropy(labels=labels, logits=mean, weights=weights),
        rtol=1e-5,
    )


def test_negative_elbo_of_several_tasks_and_of_no_labels() -> None:
    labels = tf.constant([[1.0, float("nan")], [0.0, float("nan")]])
    found = negative_elbo(
        labels=labels,
        mean=tf.zeros([2, 2]),
        variance=tf.zeros([2, 2]),
        divergence=tf.constant([10.0, 20.0]),
        examples=10,
    )
    # Without a label in the batch, the divergence of the second task does not count either.
    np.testing.assert_allclose(found, [math.log(2) + 1.0, 0.0], rtol=1e-5)


def test_gradient_is_finite_where_the_variance_is_tiny() -> None:
    variance = tf.constant([1e-6])
    with tf.GradientTape() as tape:
        tape.watch(variance)
        loss = negative_elbo(
            labels=tf.ones(1), mean=tf.zeros(1), variance=variance, divergence=tf.constant(0.0), examples=1
        )
    # d/dv E softplus(f) = E softplus''(f) / 2 = 1/8 at mean 0.
    np.testing.assert_allclose(tape.gradient(loss, variance), [0.125], rtol=0.05)
