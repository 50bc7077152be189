"""Known ids that are read as unknown now and then, so that the row of unknown ids learns what it will stand for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

UNKNOWN_ROW = 1


class UnknownIds(keras.layers.Layer):
    """Replaces rows of known ids by the row of unknown ones, each with probability `share`, in training alone.

    A vocabulary holds the ids of the training split, so that training never meets an unknown one: its row would stay
    as it began, and layers above would never see an example without what an id's own row says. In serving, where new
    ads and people come, predictions are then biased. (Dropout of ids; not in the papers.)

    Call arguments:
      rows: `[B, n]` int64; 0 is a missing id, 1 an unknown one, and both stay.

    Returns:
      `[B, n]` int64.

    Args:
      share: In [0, 1).
    """

    def __init__(self, share: float, *, name: str = "unknown_ids") -> None:
        super().__init__(name=name, dtype="float32")
        self.share = share
        self._dropout = keras.layers.Dropout(share)

    def call(self, rows: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the rows that are read."""
        if not training or not self.share:
            return rows
        kept = self._dropout(tf.ones(tf.shape(rows)), training=True) > 0
        return tf.where(kept, rows, tf.minimum(rows, tf.constant(UNKNOWN_ROW, rows.dtype)))

    def get_config(self) -> dict[str, Any]:
        """The argument."""
        return {"share": self.share, "name": self.name}
