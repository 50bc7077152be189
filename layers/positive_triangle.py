"""A trainable lower-triangular factor with a positive diagonal."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras


def positive_triangle(weight: tf.Tensor) -> tf.Tensor:
    """The lower triangle of a weight, with the softplus of its diagonal.

    What lies above the diagonal is not read and gets no gradient. To pack the triangle into a vector would save a
    little memory, and cost a training step more than the whole divergence does.

    Args:
      weight: `[T, M, M]`.
    """
    return tf.linalg.set_diag(lower_triangle(weight), tf.math.softplus(tf.linalg.diag_part(weight)))


def lower_triangle(matrix: tf.Tensor) -> tf.Tensor:
    """`[..., M, M]` with zeros above the diagonal, where it must be finite: ten times as fast as `tf.linalg.band_part`.

    Args:
      matrix: `[..., M, M]`, M known.
    """
    places = tf.range(matrix.shape[-1])
    return matrix * tf.cast(places[:, tf.newaxis] >= places, matrix.dtype)


def triangle_weight(factor: tf.Tensor) -> tf.Tensor:
    """The weight whose `positive_triangle` is a factor.

    Args:
      factor: `[T, M, M]`, lower triangular with a positive diagonal.
    """
    diagonal = tf.linalg.diag_part(factor)
    return tf.linalg.set_diag(factor, diagonal + tf.math.log(-tf.math.expm1(-diagonal)))


@keras.saving.register_keras_serializable(package="fullrank")
class UnitTriangle(keras.initializers.Initializer):
    """Starts a weight so that its `positive_triangle` is the unit matrix."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Gives `[T, M, M]`."""
        return math.log(math.expm1(1.0)) * tf.eye(shape[-1], batch_shape=shape[:1], dtype=dtype or tf.float32)

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}
