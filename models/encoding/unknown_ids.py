"""Known ids that are read as unknown now and then, so that the row of unknown ids learns what it will stand for."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.random_bits import random_bits

UNKNOWN_ROW: Final = 1
_LEVELS: Final = 256
"""A share is a number of these: a byte of randomness for each id."""


class UnknownIds(keras.__internal__.layers.BaseRandomLayer):
    """Replaces rows of known ids by the row of unknown ones, each with probability `share`, in training alone.

    A vocabulary holds the ids of the training split, so that training never meets an unknown one: its row would stay
    as it began, and layers above would never see an example without what an id's own row says. In serving, where new
    ads and people come, predictions are then biased. (Dropout of ids; not in the papers.)

    Call arguments:
      rows: `[B, n]` int64; 0 is a missing id, 1 an unknown one, and both stay.

    Returns:
      `[B, n]` int64.

    Args:
      share: In [0, 1); it is rounded to a 256th, at least one unless it is 0.
    """

    def __init__(self, share: float, *, name: str = "unknown_ids") -> None:
        super().__init__(name=name, dtype="float32")
        self.share = share
        self._level = min(_LEVELS - 1, max(1, round(share * _LEVELS))) if share else 0

    def call(self, rows: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the rows that are read."""
        if not training or not self._level:
            return rows
        draws = random_bits(self._random_generator, tf.shape(rows), tf.uint8)
        unknown = tf.minimum(rows, tf.constant(UNKNOWN_ROW, rows.dtype))
        return tf.where(draws < tf.constant(self._level, tf.uint8), unknown, rows)

    def get_config(self) -> dict[str, Any]:
        """The argument."""
        return {"share": self.share, "name": self.name}
