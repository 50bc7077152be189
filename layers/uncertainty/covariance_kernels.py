"""The covariance functions of the Gaussian processes, by name, from TensorFlow Probability."""

from __future__ import annotations

from typing import Any, Literal, get_args

import tensorflow as tf

from fullrank.layers.uncertainty.stable_cholesky import batched_product

KernelName = Literal["rbf", "matern_1_2", "matern_3_2", "matern_5_2", "linear_rbf"]
KERNELS: tuple[str, ...] = get_args(KernelName)
RBF_KERNELS = ("rbf", "linear_rbf")

_STATIONARY = {
    "rbf": "ExponentiatedQuadratic",
    "matern_1_2": "MaternOneHalf",
    "matern_3_2": "MaternThreeHalves",
    "matern_5_2": "MaternFiveHalves",
    "linear_rbf": "ExponentiatedQuadratic",
}


def covariance_kernel(
    name: str, *, amplitude: tf.Tensor, length_scale: tf.Tensor, slope: tf.Tensor | None = None
) -> Any:
    """A `tfp.math.psd_kernels` kernel; r is the distance of two inputs and l the length scale.

        rbf         a^2 exp(-r^2 / 2 l^2)
        matern_1_2  a^2 exp(-r / l);  matern_3_2 and matern_5_2 are once and twice differentiable
        linear_rbf  slope^2 <x, x'> + rbf: grows along the directions of the data, at any distance

    Args:
      name: One of `KERNELS`.
      amplitude: a, `[T]`: the prior's standard deviation.
      length_scale: l, `[T]`, in the units of the inputs.
      slope: `[T]`; for `linear_rbf` only.

    Raises:
      ValueError: If the name is unknown.
    """
    if name not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}. Received: {name!r}.")
    from fullrank.layers.legacy_keras import tfp

    stationary = getattr(tfp.math.psd_kernels, _STATIONARY[name])(amplitude=amplitude, length_scale=length_scale)
    if name != "linear_rbf":
        return stationary
    return stationary + tfp.math.psd_kernels.Linear(slope_amplitude=slope)


def cross_covariance(
    name: str,
    x: tf.Tensor,
    points: tf.Tensor,
    *,
    amplitude: tf.Tensor,
    length_scale: tf.Tensor,
    slope: tf.Tensor | None = None,
) -> tf.Tensor:
    """`k(x, z)` of a `covariance_kernel` between a batch and the inducing points.

    For the RBF part, logarithm, norms and inner product of `log a^2 - |x - z|^2 / 2 l^2` result from one matrix product
    of vectors with two more entries, so that `[B, M]` numbers are read twice instead of ten times, and likewise in the
    gradient. Other kernels use TensorFlow Probability.

    Args:
      name: One of `KERNELS`.
      x: `[T, B, D]`.
      points: z, `[T, M, D]`.
      amplitude: `[T]`.
      length_scale: `[T]`.
      slope: `[T]`; for `linear_rbf` only.

    Returns:
      `[T, B, M]`.
    """
    if name not in RBF_KERNELS:
        return covariance_kernel(name, amplitude=amplitude, length_scale=length_scale).matrix(x, points)
    inverse = tf.math.reciprocal(length_scale)[:, tf.newaxis, tf.newaxis]
    far = extended_points(points, amplitude=amplitude, inverse_length_scale=inverse)
    covariance = tf.exp(batched_product(extended_inputs(x, inverse_length_scale=inverse), far, transpose_b=True))
    if slope is None:
        return covariance
    return covariance + tf.matmul(x * tf.square(slope)[:, tf.newaxis, tf.newaxis], points, transpose_b=True)


def extended_inputs(x: tf.Tensor, *, inverse_length_scale: tf.Tensor) -> tf.Tensor:
    """`(x / l, -|x / l|^2 / 2, 1)`, whose inner product with `extended_points` is the logarithm of the RBF kernel.

    Args:
      x: `[T, B, D]`.
      inverse_length_scale: 1 / l, `[T, 1, 1]`.

    Returns:
      `[T, B, D + 2]`.
    """
    near = x * inverse_length_scale
    half_square = -0.5 * tf.reduce_sum(tf.square(near), axis=-1, keepdims=True)
    return tf.concat([near, half_square, tf.ones_like(half_square)], axis=-1)


def extended_points(points: tf.Tensor, *, amplitude: tf.Tensor, inverse_length_scale: tf.Tensor) -> tf.Tensor:
    """`(z / l, 1, log a^2 - |z / l|^2 / 2)`; see `extended_inputs`.

    Args:
      points: z, `[T, M, D]`.
      amplitude: a, `[T]`.
      inverse_length_scale: 1 / l, `[T, 1, 1]`.

    Returns:
      `[T, M, D + 2]`.
    """
    far = points * inverse_length_scale
    log_variance = 2.0 * tf.math.log(amplitude)[:, tf.newaxis, tf.newaxis]
    last = log_variance - 0.5 * tf.reduce_sum(tf.square(far), axis=-1, keepdims=True)
    return tf.concat([far, tf.ones_like(last), last], axis=-1)


def prior_variance(x: tf.Tensor, *, amplitude: tf.Tensor, slope: tf.Tensor | None = None) -> tf.Tensor:
    """`k(x, x)` of a `covariance_kernel`: `a^2`, plus `slope^2 |x|^2` for `linear_rbf`.

    Args:
      x: `[T, B, D]`.
      amplitude: `[T]`.
      slope: `[T]`; for `linear_rbf` only.

    Returns:
      `[T, B]`.
    """
    constant = tf.square(amplitude)[:, tf.newaxis]
    if slope is None:
        return constant + tf.zeros_like(x[..., 0])
    return constant + tf.square(slope)[:, tf.newaxis] * tf.reduce_sum(tf.square(x), axis=-1)
