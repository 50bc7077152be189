"""IPNN and OPNN, experts of [Tencent] §4.2: inner products of all field pairs, and products through a kernel.

[Tencent] deploys IPNN (Qu et al. 2016); OPNN is its sibling (Qu et al. 2016, 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.interactions.factorization_machines import pair_count


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class InnerProduct(keras.layers.Layer):
    """Inner products of all field pairs, in addition to the fields themselves: `[e_1, ..., e_F, (<e_i, e_j>)_{i<j}]`.

    One batched product `E E^T` gives all pairs; nothing loops over them.

    Call arguments:
      fields: `[B, F, d]`, F >= 2.

    Returns:
      `[B, F d + F(F-1)/2]`, pairs in the order (1,2), (1,3), ..., (F-1,F); without the first part if `linear` is false.

    Args:
      linear: Whether the output includes the fields themselves (the `l_z` of the IPNN paper).
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


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class OuterProduct(keras.layers.Layer):
    """`[e_1, ..., e_F, (sum of (e_i e_j^T) * W_ij)_{i<j}]`: the outer product of each pair, weighted by a kernel.

    The sum of the weighted outer product is `e_i^T W_ij e_j`, so no `[d, d]` matrix is formed per example (the kernel
    product of Qu et al. 2018). `superposed` is the outer product of Qu et al. 2016 instead: that of the sum of all
    fields with itself, `p = f f^T` with `f = sum_i e_i`, in full; it has no weights, and costs O(F d + d^2).

    Call arguments:
      fields: `[B, F, d]`, F >= 2.

    Returns:
      `[B, F d + F(F-1)/2]`, pairs in the order (1,2), (1,3), ...; superposed `[B, F d + d(d+1)/2]`, the upper triangle
      of p row by row, since p is symmetric. Without the first part if `linear` is false.

    Args:
      superposed: Whether fields are summed before the product.
      linear: Whether the output includes the fields themselves.
    """

    def __init__(
        self,
        *,
        superposed: bool = False,
        linear: bool = True,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.superposed = superposed
        self.linear = linear

    def build(self, input_shape: Any) -> None:
        """Creates the kernels."""
        number, width = input_shape[1], input_shape[2]
        if number is None or number < 2:
            raise ValueError(f"OuterProduct needs at least two fields, [B, F >= 2, d]. Received: {input_shape}.")
        if not self.superposed:
            shape = (pair_count(number), width, width)
            self.kernels = self.add_weight(name="kernels", shape=shape, initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns products (and fields)."""
        products = self._of_sum(fields) if self.superposed else self._of_pairs(fields)
        if not self.linear:
            return products
        return tf.concat([tf.reshape(fields, (-1, fields.shape[1] * fields.shape[2])), products], axis=1)

    def _of_pairs(self, fields: tf.Tensor) -> tf.Tensor:
        first, second = np.triu_indices(fields.shape[1], k=1)
        by_field = tf.transpose(fields, (1, 0, 2))
        weighed = tf.matmul(tf.gather(by_field, first), tf.cast(self.kernels, fields.dtype))
        return tf.transpose(tf.reduce_sum(weighed * tf.gather(by_field, second), axis=2))

    def _of_sum(self, fields: tf.Tensor) -> tf.Tensor:
        width = fields.shape[2]
        row, column = np.triu_indices(width)
        total = tf.reduce_sum(fields, axis=1)
        square = tf.reshape(total[:, :, tf.newaxis] * total[:, tf.newaxis, :], (-1, width * width))
        return tf.gather(square, row * width + column, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "superposed": self.superposed, "linear": self.linear}
