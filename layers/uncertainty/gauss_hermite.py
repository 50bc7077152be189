"""Expectations over a Gaussian logit by Gauss-Hermite quadrature: of the log likelihood, and of the probability."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

POINTS = 20


def gaussian_expectation(
    function: Callable[[tf.Tensor], tf.Tensor], *, mean: tf.Tensor, variance: tf.Tensor, points: int = POINTS
) -> tf.Tensor:
    """`E g(f)` for `f ~ N(mean, variance)`: `sum_k w_k g(mean + sqrt(2 variance) x_k) / sqrt(pi)`.

    Exact for polynomials below degree `2 points`; for a sigmoid and 20 points, within 1e-3 up to a variance of 10.

    Args:
      function: Applied element-wise.
      mean: Any shape, float32 or float64.
      variance: Of the same shape, not negative.
      points: Nodes of the quadrature.

    Returns:
      The shape of `mean`.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(points)
    spread = tf.sqrt(2.0 * variance)[..., tf.newaxis] * tf.constant(nodes, mean.dtype)
    values = function(mean[..., tf.newaxis] + spread)
    return tf.linalg.matvec(values, tf.constant(weights / math.sqrt(math.pi), mean.dtype))


def calibrated_probability(*, mean: tf.Tensor, variance: tf.Tensor, points: int = POINTS) -> tf.Tensor:
    """`P(y = 1) = E sigma(f)`, which a larger variance moves from `sigma(mean)` towards 1/2.

    Args:
      mean: Mean of the logit, any shape.
      variance: Its variance, of the same shape.
      points: Nodes of the quadrature.
    """
    return gaussian_expectation(tf.sigmoid, mean=mean, variance=variance, points=points)


def bernoulli_log_likelihood(
    *, labels: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, points: int = POINTS
) -> tf.Tensor:
    """`E log Ber(y; sigma(f)) = y mean - E softplus(f)` of each example.

    Args:
      labels: 0 or 1, or in between; the shape of `mean`.
      mean: Mean of the logit.
      variance: Its variance.
      points: Nodes of the quadrature.
    """
    expected = gaussian_expectation(tf.math.softplus, mean=mean, variance=variance, points=points)
    return tf.cast(labels, mean.dtype) * mean - expected
