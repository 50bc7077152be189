"""A missing number or code, whose one row is read once however many rows a known one reads."""

from __future__ import annotations

import tensorflow as tf

MISSING_ROW = 0


def missing_once(rows: tf.Tensor, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """Weights with which a sum over rows contains the missing row once at most, and every other row as it is.

    K times the row would be an embedding K times as large, with a gradient K times that of a digit's row: it would take
    K^2 times the step of plain gradient descent.

    Args:
      rows: `[..., K]` int64, the rows of a sum.
      dtype: Of the weights.

    Returns:
      `[..., K]` of ones, and zeros for the missing row after its first place.
    """
    missing = tf.equal(rows, MISSING_ROW)
    earlier = tf.cumsum(tf.cast(missing, tf.int32), axis=-1, exclusive=True) > 0
    return tf.where(missing & earlier, tf.zeros([], dtype), tf.ones([], dtype))
