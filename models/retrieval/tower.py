"""The towers of a retrieval model, from a side of an example to its vector, and where two vectors meet."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from fullrank.layers.dense import Dense
from fullrank.layers.interactions.flat import FlatDNN
from fullrank.layers.legacy_keras import keras
from fullrank.layers.mixture.expert import Expert


class Tower(keras.layers.Layer):
    """`W mean_s E_s(fields_s, side_s) + b`, scaled to length 1 if asked: one flat expert for each embedding set.

    Call arguments:
      parts: For each set its fields `[B, F, d_s]` and side `[B, m_s]`, or `None` without one.

    Returns:
      `[B, D]`, float32.

    Args:
      sets: Number of sets.
      hidden: Hidden layers for each set.
      width: D.
      normalise: Whether vectors have length 1.
      dropout: Share of hidden units dropped in training.
    """

    def __init__(
        self, *, sets: int, hidden: tuple[int, ...], width: int, normalise: bool, dropout: float, name: str
    ) -> None:
        super().__init__(name=name, autocast=False)
        self._normalise = normalise
        self._experts = [
            Expert(
                FlatDNN(hidden[:-1], dropout=dropout, name=f"flat_{number}"),
                hidden[-1],
                dropout=dropout,
                name=f"expert_{number}",
            )
            for number in range(sets)
        ]
        self._output = Dense(width, name="vector", dtype="float32")

    def call(self, parts: Sequence[tuple[tf.Tensor, tf.Tensor | None]], training: bool | None = None) -> tf.Tensor:
        """Returns the vectors."""
        read = [
            expert(fields, side, training=training) for expert, (fields, side) in zip(self._experts, parts, strict=True)
        ]
        vector = self._output(tf.cast(tf.add_n(read) / len(read), tf.float32))
        return tf.math.l2_normalize(vector, axis=1) if self._normalise else vector


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
