"""A trainable lower-triangular factor with a positive diagonal, packed in a vector."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from fullrank.layers.legacy_keras import keras, tfp


def unpacked_factor(packed: tf.Tensor) -> tf.Tensor:
    """Lower-triangular `[T, M, M]` of `[T, M (M + 1) / 2]`; the diagonal is a softplus, and so positive.

    Args:
      packed: `[T, M (M + 1) / 2]`.
    """
    factor = tfp.math.fill_triangular(packed)
    return tf.linalg.set_diag(factor, tf.math.softplus(tf.linalg.diag_part(factor)))


@keras.saving.register_keras_serializable(package="fullrank")
class UnitFactor(keras.initializers.Initializer):
    """Starts a packed factor as the unit matrix.

    Args:
      size: M.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Gives `[T, M (M + 1) / 2]`."""
        one = math.log(math.expm1(1.0))
        packed = tfp.math.fill_triangular_inverse(one * tf.eye(self.size, dtype=dtype or tf.float32))
        return tf.broadcast_to(packed, shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"size": self.size}
