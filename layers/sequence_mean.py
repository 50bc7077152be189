"""Mean pooling of a behaviour sequence: the baseline that knows neither the target nor time ([Tencent] §3.1)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.known_places import known_places


@keras.saving.register_keras_serializable(package="fullrank")
@takes(behaviours=Input("[B, L, d]"), mask=Input("[B, L]", kind="bool"))
class SequenceMean(keras.layers.Layer):
    """`u = (1 / n) sum_i e_i` over the n valid behaviours; no behaviour gives a zero vector.

    Call arguments:
      behaviours: `[B, L, d]`.
      mask: `[B, L]` bool, true where there is a behaviour; what stands elsewhere does not matter, NaN included.

    Returns:
      `[B, d]`.
    """

    def call(self, behaviours: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the mean, `[B, d]`."""
        valid = tf.cast(mask, behaviours.dtype)[:, tf.newaxis]
        # Counted as integers: bfloat16 does not count beyond 256.
        number = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True), 1)
        return tf.matmul(valid, known_places(behaviours, mask))[:, 0] / tf.cast(number, behaviours.dtype)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
