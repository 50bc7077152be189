"""A vector from another model as a field, by one linear map (an alternative to [Tencent] §3.3)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense


@keras.saving.register_keras_serializable(package="fullrank")
@takes(vector=Input("[B, n]", known="n"))
class VectorProjection(keras.layers.Layer):
    """`e = W v + b`, and a learned row where the vector is missing.

    Call arguments:
      vector: `[B, n]`; a row with anything that is not a finite number is a missing vector, and numbers are clipped
        to ±1e6.

    Returns:
      `[B, d]`.

    Args:
      width: d.
    """

    def __init__(self, width: int, *, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("VectorProjection", width=width)
        self.width = width
        self._linear = Dense(width, name="linear", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Creates the row of a missing vector."""
        self._missing = self.add_weight(
            name="missing", shape=(self.width,), initializer=keras.initializers.RandomUniform()
        )
        super().build(input_shape)

    def call(self, vector: tf.Tensor) -> tf.Tensor:
        """Returns the field, `[B, d]`."""
        missing = tf.reduce_any(tf.logical_not(tf.math.is_finite(vector)), axis=-1, keepdims=True)
        known = self._linear(tf.clip_by_value(tf.where(missing, tf.zeros([], vector.dtype), vector), -1e6, 1e6))
        return tf.where(missing, tf.cast(self._missing, known.dtype), known)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "width": self.width}
