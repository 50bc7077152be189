"""Mean pooling of a behaviour sequence: the baseline that knows neither the target nor time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="fullrank")
class SequenceMean(keras.layers.Layer):
    """`u = (1 / n) sum_i e_i` over the n valid behaviours; no behaviour gives a zero vector.

    Call arguments:
      behaviours: `[B, L, d]`.
      mask: `[B, L]`, true where there is a behaviour.

    Returns:
      `[B, d]`.
    """

    def call(self, behaviours: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the mean, `[B, d]`."""
        valid = tf.cast(mask, behaviours.dtype)[:, tf.newaxis]
        number = tf.reduce_sum(valid, axis=2)
        return tf.math.divide_no_nan(tf.matmul(valid, behaviours)[:, 0], number)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
