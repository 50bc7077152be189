"""The covariance functions that a Gaussian process here may have, by name, from TensorFlow Probability."""

from __future__ import annotations

from typing import Any, Literal, get_args

import tensorflow as tf

from fullrank.layers.legacy_keras import tfp

KernelName = Literal["rbf", "matern_1_2", "matern_3_2", "matern_5_2", "linear_rbf"]
KERNELS: tuple[str, ...] = get_args(KernelName)

_STATIONARY: dict[str, Any] = {
    "rbf": tfp.math.psd_kernels.ExponentiatedQuadratic,
    "matern_1_2": tfp.math.psd_kernels.MaternOneHalf,
    "matern_3_2": tfp.math.psd_kernels.MaternThreeHalves,
    "matern_5_2": tfp.math.psd_kernels.MaternFiveHalves,
    "linear_rbf": tfp.math.psd_kernels.ExponentiatedQuadratic,
}


def covariance_kernel(
    name: str, *, amplitude: tf.Tensor, length_scale: tf.Tensor, slope: tf.Tensor | None = None
) -> Any:
    """A `tfp.math.psd_kernels` kernel; r is the distance of two inputs and l the length scale.

        rbf         a^2 exp(-r^2 / 2 l^2)
        matern_1_2  a^2 exp(-r / l);  matern_3_2 and matern_5_2 are once and twice differentiable
        linear_rbf  slope^2 <x, x'> + rbf: grows along directions that the data has, whatever the distance

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
    stationary = _STATIONARY[name](amplitude=amplitude, length_scale=length_scale)
    if name != "linear_rbf":
        return stationary
    return stationary + tfp.math.psd_kernels.Linear(slope_amplitude=slope)


def prior_variance(x: tf.Tensor, *, amplitude: tf.Tensor, slope: tf.Tensor | None = None) -> tf.Tensor:
    """`k(x, x)` of a `covariance_kernel`: `a^2`, and for `linear_rbf` `slope^2 |x|^2` besides.

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
