"""Dropout that draws two units with each random word."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.random_bits import random_bits

_LEVELS = 2**16


@keras.saving.register_keras_serializable(package="fullrank")
class Dropout(keras.layers.Dropout):
    """`y = x m / (1 - rate)` in training, with m = 0 with probability `rate` and 1 otherwise; `y = x` otherwise.

    It is Keras' own layer but for the numbers that it draws: 16 bits decide about a unit, where Keras takes a float32,
    and drawing them is most of what dropout costs. So `rate` is rounded to a 65,536th, 0.1 to 0.10001, and y is scaled
    by the rounded one: its mean is x.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the inputs, some of them 0 in training."""
        level = round(self.rate * _LEVELS)
        if not training or not 0 < level < _LEVELS or self.noise_shape is not None:
            return super().call(inputs, training=training)
        draws = random_bits(self._random_generator, tf.shape(inputs), tf.uint16)
        kept = tf.cast(draws >= tf.constant(level, tf.uint16), inputs.dtype)
        return inputs * (kept * tf.constant(_LEVELS / (_LEVELS - level), inputs.dtype))
