"""Cholesky factors that do not break: float64, with a jitter that grows until the factor is finite."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

SMALLEST_JITTER = 1e-6
LARGEST_JITTER = 1e-2


def cholesky(matrix: tf.Tensor, *, jitter: float = SMALLEST_JITTER) -> tf.Tensor:
    """Lower factor of `K + j mean(diag K) I`, with j the first of `jitter`, 10 `jitter`, ... <= 0.01 that succeeds.

    Each matrix of a batch has its own j. No gradient passes; `inverse_cholesky` has one.

    Args:
      matrix: `[..., M, M]`, symmetric and positive semi-definite but for rounding.
      jitter: The first j, relative to the mean of the diagonal.

    Returns:
      `[..., M, M]` float64; NaN where even the largest j fails, as it does if K holds a NaN.
    """
    matrix = tf.stop_gradient(tf.cast(matrix, tf.float64))
    diagonal = tf.linalg.diag_part(matrix)
    scale = tf.reduce_mean(diagonal, axis=-1, keepdims=True)

    def factor(relative: tf.Tensor) -> tf.Tensor:
        return tf.linalg.cholesky(tf.linalg.set_diag(matrix, diagonal + relative * scale))

    def failed(found: tf.Tensor) -> tf.Tensor:
        return tf.logical_not(tf.math.is_finite(tf.reduce_sum(found, axis=[-2, -1])))

    def goes_on(relative: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.logical_and(failed(found), relative[..., 0] < 0.99 * LARGEST_JITTER))

    def grow(relative: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        larger = tf.minimum(10.0 * relative, tf.constant(LARGEST_JITTER, tf.float64))
        relative = tf.where(failed(found)[..., tf.newaxis], larger, relative)
        return relative, factor(relative)

    first = tf.fill(tf.shape(scale), tf.constant(jitter, tf.float64))
    first.set_shape(scale.shape)
    return tf.while_loop(goes_on, grow, (first, factor(first)))[1]


def inverse_cholesky(matrix: tf.Tensor, *, jitter: float = SMALLEST_JITTER, dtype: tf.DType = tf.float64) -> tf.Tensor:
    """`L^-1` of the factor that `cholesky` finds, `[..., M, M]`, lower triangular.

    Its gradient is written out, because that of factor and solve in turn costs twice as much. With G the gradient of
    L^-1, `dL = -L^-T G L^-T` and `dK = L^-T phi(L^T dL) L^-1`, where phi takes the lower triangle with half the
    diagonal; since `L^T dL = -G L^-T`, `dK = -L^-T phi(G L^-T) L^-1`, of which, K being symmetric, only the symmetric
    part means anything. The jitter counts as a constant.

    Args:
      matrix: `[..., M, M]` float64.
      jitter: As of `cholesky`.
      dtype: Of the result and of the products in the gradient, which cannot be more exact than the G they are given.
        Factor and solve are float64 in any case.
    """

    @tf.custom_gradient
    def inverse(matrix: tf.Tensor) -> tuple[tf.Tensor, Any]:
        factor = cholesky(matrix, jitter=jitter)
        size = matrix.shape[-1]
        unit = tf.eye(size, dtype=tf.float64) + tf.zeros_like(factor)
        inverted = tf.cast(tf.linalg.triangular_solve(factor, unit), dtype)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inner = tf.linalg.band_part(
                tf.matmul(tf.linalg.band_part(upstream, -1, 0), inverted, transpose_b=True), -1, 0
            )
            inner = tf.linalg.set_diag(inner, 0.5 * tf.linalg.diag_part(inner))
            return tf.cast(-tf.matmul(inverted, tf.matmul(inner, inverted), transpose_a=True), tf.float64)

        return inverted, gradient

    return inverse(matrix)
