"""Flattens what a Keras metric receives to one number a row."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def row_tensors(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Returns labels, predictions and weights as float64 `[B]`.

    Args:
        y_true: `[B]` or `[B, 1]`.
        y_pred: `[B]` or `[B, 1]`.
        sample_weight: `[B]`, `[B, 1]`, a scalar, or None for ones.

    Raises:
        ValueError: if the numbers of rows are known and differ.
    """
    labels = tf.reshape(tf.cast(y_true, tf.float64), [-1])
    predictions = tf.reshape(tf.cast(y_pred, tf.float64), [-1])
    if sample_weight is None:
        weights = tf.ones_like(labels)
    else:
        weights = tf.cast(sample_weight, tf.float64)
        weights = tf.fill(tf.shape(labels), weights) if weights.shape.rank == 0 else tf.reshape(weights, [-1])
    sizes = [tensor.shape[0] for tensor in (labels, predictions, weights)]
    if len({size for size in sizes if size is not None}) > 1:
        raise ValueError(
            "a metric takes one label, one prediction and one weight a row; received "
            f"{sizes[0]} labels, {sizes[1]} predictions, {sizes[2]} weights"
        )
    return labels, predictions, weights
