"""FFM: an embedding of a feature for each field that it may meet (Juan et al. 2016; [Tencent] §4.3 starts from it)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class FieldAwareFM(keras.layers.Layer):
    """`sum_{i<j} v_{i,F(j)} * v_{j,F(i)}`, element-wise.

    A field's row of width d is cut into F embeddings of width k = d / F, one for each partner; that for itself is never
    used. All pairs are one product of `[B, F, F, k]` with its own transpose.

    Departures: FFM has a linear term and a bias; here is neither, as in the other experts. And it chooses k by itself,
    small beside the width of other models; here the width d of the set gives `k = d / F`.

    Call arguments:
      fields: `[B, F, d]`, d a multiple of F.

    Returns:
      `[B, d / F]`; its sum is the scalar of the paper.

    Raises:
      ValueError: If d is not a multiple of F.
    """

    def build(self, input_shape: Any) -> None:
        """Checks that a row can be cut."""
        if input_shape[2] % input_shape[1]:
            raise ValueError(
                f"FieldAwareFM cuts an embedding into one for each of {input_shape[1]} fields, so that its width must "
                f"be a multiple of {input_shape[1]}. Received: {input_shape}. GroupWeightedFM does with fewer parts."
            )
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the summed products, `[B, d / F]`."""
        number, width = fields.shape[1], fields.shape[2] // fields.shape[1]
        towards = tf.reshape(fields, (-1, number, number, width))
        pairs = np.triu(np.ones((number, number)), k=1)[:, :, np.newaxis]
        products = towards * tf.transpose(towards, (0, 2, 1, 3)) * tf.constant(pairs, fields.dtype)
        return tf.reduce_sum(products, axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
