"""IPNN: the inner products of all field pairs (Qu et al. 2016; [Tencent] §4.2 deploys it as an expert)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class InnerProduct(keras.layers.Layer):
    """Inner products of all field pairs, beside the fields themselves: `[e_1, ..., e_F, (<e_i, e_j>)_{i<j}]`.

    One batched product `E E^T` gives all pairs; nothing loops over them.

    Call arguments:
      fields: `[B, F, d]`, F >= 2.

    Returns:
      `[B, F d + F(F-1)/2]`, pairs in the order (1,2), (1,3), ..., (F-1,F); without the first part if `linear` is false.

    Args:
      linear: Whether the fields themselves go along (the `l_z` of the IPNN paper).
    """

    def __init__(
        self, *, linear: bool = True, name: str | None = None, dtype: Any = None, trainable: bool = True
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.linear = linear

    def build(self, input_shape: Any) -> None:
        """Checks that there is a pair."""
        if input_shape[1] is None or input_shape[1] < 2:
            raise ValueError(f"InnerProduct needs at least two fields, [B, F >= 2, d]. Received: {input_shape}.")
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns products (and fields), `[B, F d + F(F-1)/2]`."""
        number, width = fields.shape[1], fields.shape[2]
        first, second = np.triu_indices(number, k=1)
        products = tf.reshape(tf.matmul(fields, fields, transpose_b=True), (-1, number * number))
        pairs = tf.gather(products, first * number + second, axis=1)
        if not self.linear:
            return pairs
        return tf.concat([tf.reshape(fields, (-1, number * width)), pairs], axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "linear": self.linear}
