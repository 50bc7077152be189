"""FM: the element-wise products of all field pairs, summed (Rendle 2010; [Tencent] §4.4's conventional interaction)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.exact_dtype import exact_dtype


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]"))
class FactorizationMachine(keras.layers.Layer):
    """All pairs at the price of one sum: `sum_{i<j} e_i * e_j = ((sum_i e_i)^2 - sum_i e_i^2) / 2`, element-wise.

    The d dimensions are kept, as an expert needs them; their sum is the pairwise part of the FM paper, whose bias
    and linear term are left out: an expert is projected afterwards. The squares are taken
    in float32 at least, because their difference cancels.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, d]`.
    """

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the summed products, `[B, d]`."""
        exact = tf.cast(fields, exact_dtype(fields.dtype))
        pairs = 0.5 * (tf.square(tf.reduce_sum(exact, axis=1)) - tf.reduce_sum(tf.square(exact), axis=1))
        return tf.cast(pairs, fields.dtype)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
