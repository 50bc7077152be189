"""Random numbers of few bits, several from each word that is drawn: drawing is what dropping units at random costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def random_bits(generator: Any, shape: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Draws uniform whole numbers, each value of their type equally likely.

    Args:
      generator: The `_random_generator` of a Keras layer that draws.
      shape: int32, `[rank]`.
      dtype: `uint8` or `uint16`, four or two of which come from one word.

    Returns:
      A tensor of that shape and type.
    """
    size, each = tf.reduce_prod(shape), tf.int32.size // dtype.size
    limits = np.iinfo(np.int32)
    words = generator.random_uniform([(size + each - 1) // each], minval=limits.min, maxval=limits.max, dtype=tf.int32)
    return tf.reshape(tf.reshape(tf.bitcast(words, dtype), [-1])[:size], shape)
