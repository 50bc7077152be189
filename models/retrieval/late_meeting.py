"""Where the vectors of a query and of an ad meet: late, so that ads can be encoded beforehand."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers.dense import Dense
from fullrank.layers.legacy_keras import keras


class LateMeeting(keras.layers.Layer):
    """`z_ij = <u_i, v_j> + a^T relu(W (u_i * v_j) + b)`: a dot product, and a small network on the products.

    The network starts at zero, as a dot product. A pair costs D multiplications without it, and D H with it.

    Call arguments:
      queries: u, `[B, D]`.
      ads: v, `[B, C, D]`, of each query its own, or `[C, D]`, the same for all.

    Returns:
      z, `[B, C]`, float32.

    Args:
      hidden: H; 0 for the dot product alone.
    """

    def __init__(self, hidden: int = 0, *, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self._hidden = Dense(hidden, activation="relu", name="hidden") if hidden else None
        self._output = Dense(1, use_bias=False, kernel_initializer="zeros", name="output") if hidden else None

    def call(self, queries: tf.Tensor, ads: tf.Tensor) -> tf.Tensor:
        """Returns the scores."""
        if self._hidden is None and ads.shape.rank == 2:
            return tf.matmul(queries, ads, transpose_b=True)
        products = queries[:, tf.newaxis, :] * ads
        scores = tf.reduce_sum(products, axis=2)
        if self._hidden is not None and self._output is not None:
            scores += tf.squeeze(self._output(self._hidden(products)), axis=2)
        return scores
