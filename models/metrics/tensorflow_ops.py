"""TensorFlow's `ArrayOps`, and the inputs of a Keras metric flattened to one number per row."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fullrank.models.metrics.array_ops import ArrayOps


def _cast_int(values: Any) -> Any:
    return tf.cast(values, tf.int64)


def _where(condition: Any, then: Any, otherwise: Any) -> Any:
    """In a graph, `tf.where` turns a Python number on the left into float32, regardless of the right side."""
    dtype = (then if tf.is_tensor(then) else otherwise).dtype
    return tf.where(condition, tf.convert_to_tensor(then, dtype), tf.convert_to_tensor(otherwise, dtype))


TENSORFLOW = ArrayOps(
    cast_int=_cast_int,
    clip=tf.clip_by_value,
    concat=tf.concat,
    cumsum=tf.cumsum,
    exp=tf.exp,
    floor=tf.floor,
    isnan=tf.math.is_nan,
    log=tf.math.log,
    log1p=tf.math.log1p,
    searchsorted=tf.searchsorted,
    stack=tf.stack,
    sum=tf.reduce_sum,
    take=tf.gather,
    unstack=tf.unstack,
    where=_where,
)


def row_tensors(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Returns labels, predictions and weights as float64 `[B]`.

    Args:
        y_true: `[B]` or `[B, 1]`.
        y_pred: `[B]` or `[B, 1]`.
        sample_weight: `[B]`, `[B, 1]`, a scalar, or None for ones.

    Raises:
        ValueError: If the numbers of rows are known and differ.
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
            "a metric takes one label, one prediction and one weight per row; received "
            f"{sizes[0]} labels, {sizes[1]} predictions, {sizes[2]} weights"
        )
    return labels, predictions, weights
