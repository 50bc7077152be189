"""The type of what low precision would spoil: sums over a batch, softmaxes, differences that cancel."""

from __future__ import annotations

import tensorflow as tf


def exact_dtype(dtype: tf.DType | str) -> tf.DType:
    """float64 for float64, and float32 for every other compute dtype.

    Args:
      dtype: That of a layer's computations or of a tensor.
    """
    return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32
