"""Rows of different length as a dense tensor that keeps the end of each row."""

from __future__ import annotations

import tensorflow as tf


def padded_last(values: tf.Tensor, row_splits: tf.Tensor, *, length: int, missing: int | float | bytes) -> tf.Tensor:
    """Pads or cuts ragged rows to one length.

    Args:
      values: All values, row after row: `[N]`.
      row_splits: Where each row begins and ends: `[B + 1]`.
      length: L; a longer row keeps its last L values, the most recent ones of a sequence.
      missing: What fills up a shorter row, on its right.

    Returns:
      `[B, L]`.
    """
    rows = tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
    cut = tf.cond(
        tf.reduce_any(rows.row_lengths() > length),
        lambda: rows[:, -length:],
        lambda: rows,
    )
    padded = cut.to_tensor(default_value=tf.constant(missing, values.dtype), shape=[None, length])
    return tf.ensure_shape(padded, [None, length])
