"""TensorFlow's side of `ArrayOps`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fullrank.models.metrics.array_ops import ArrayOps


def _cast_int(values: Any) -> Any:
    return tf.cast(values, tf.int64)


def _where(condition: Any, then: Any, otherwise: Any) -> Any:
    """`tf.where` gives a Python number on the left float32 in a graph, whatever the right side is."""
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
