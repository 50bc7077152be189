"""One tower of a retrieval model: from what a side of an example says to its vector."""

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
