"""Mean and variance of a sparse Gaussian process from its kernel rows, with a gradient that takes few products."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fullrank.layers.uncertainty.stable_cholesky import batched_product, inverse_cholesky, lower_triangle


def whitened_moments(
    rows: tf.Tensor, covariance: tf.Tensor, location: tf.Tensor, scale: tf.Tensor, *, exact: tf.Tensor, jitter: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """`(a^T v, a^T P a)` with `a = L^-1 k_zx`, `P = I - S S^T`, `L L^T = K_zz + jitter` ([Tencent] Appendix A.1).

    The factor is found in float64, products are float32. Only products with the batch are costly, `[B, M]` by `[M, M]`:
    the moments take two and their gradient two, where the chain rule applied op by op needs four. With g and w the
    gradients of the two moments of each example, and sums over the batch,

        G = sum w a a^T,   h = sum g a,   dk = L^-T (2 w P a + g v),   dv = h,   dS = -2 G S,
        dL^-1 L^-T = 2 P G + v h^T,

    and the last is all that the gradient from L^-1 to K_zz needs (see `inverse_cholesky`). The jitter counts as a
    constant.

    Args:
      rows: `k_xz`, `[T, B, M]` float32.
      covariance: `K_zz`, `[T, M, M]` float32, which receives the gradient.
      location: v, `[T, M]` float32.
      scale: S, `[T, M, M]` float32.
      exact: `K_zz` in float64, which is factorised.
      jitter: As of `cholesky`.

    Returns:
      The amounts added to the prior's mean and subtracted from its variance; both `[T, B]` float32.
    """
    exact = tf.stop_gradient(exact)

    @tf.custom_gradient
    def moments(
        rows: tf.Tensor, covariance: tf.Tensor, location: tf.Tensor, scale: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        inverse = inverse_cholesky(exact, jitter=jitter, dtype=tf.float32)
        reduction = tf.eye(scale.shape[-1]) - batched_product(scale, scale, transpose_b=True)
        whitened = batched_product(rows, inverse, transpose_b=True)
        product = batched_product(whitened, reduction)

        def gradient(of_mean: tf.Tensor, of_explained: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weight = of_explained[..., tf.newaxis]
            gram = batched_product(whitened, weight * whitened, transpose_a=True)
            towards = tf.linalg.matvec(whitened, of_mean, transpose_a=True)
            back = 2.0 * weight * product + of_mean[..., tf.newaxis] * location[:, tf.newaxis]
            inner = 2.0 * batched_product(reduction, gram) + location[:, :, tf.newaxis] * towards[:, tf.newaxis]
            inner = tf.linalg.set_diag(lower_triangle(inner), 0.5 * tf.linalg.diag_part(inner))
            of_covariance = -batched_product(inverse, batched_product(inner, inverse), transpose_a=True)
            return batched_product(back, inverse), of_covariance, towards, -2.0 * batched_product(gram, scale)

        mean = tf.linalg.matvec(whitened, location)
        return (mean, tf.reduce_sum(whitened * product, axis=-1)), gradient

    found: tuple[tf.Tensor, tf.Tensor] = moments(rows, covariance, location, scale)
    return found
