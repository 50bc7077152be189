"""Dropout that draws four units with each random word."""

from __future__ import annotations

from typing import Final

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.random_bits import random_bits

_BYTE: Final = 2**8
_LEVELS: Final = _BYTE**2
_FEW: Final = 8
"""Rates below this many 256ths are drawn by 16 bits, and likewise those near 1."""


@keras.saving.register_keras_serializable(package="fullrank")
class Dropout(keras.layers.Dropout):
    """`y = x m / (1 - rate)` in training, with m = 0 with probability `rate` and 1 otherwise; `y = x` otherwise.

    It is Keras' own layer but for the numbers that it draws: 8 bits decide about a unit, where Keras takes a float32,
    and drawing them is most of what dropout costs. A call drops units with the probability of one of the two 256ths
    around `rate`, itself drawn so that the mean over calls is `rate`; units of one call are dropped independently.
    Rates below 8 / 256 and above 248 / 256 take 16 bits per unit. So `rate` is rounded to a 65,536th, 0.1 to 0.10001,
    and y is scaled by the rounded one: its mean is x.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the inputs, some of them 0 in training."""
        level = round(self.rate * _LEVELS)
        if not training or not 0 < level < _LEVELS or self.noise_shape is not None:
            return super().call(inputs, training=training)
        kept = tf.cast(self._kept(tf.shape(inputs), level), inputs.dtype)
        return inputs * (kept * tf.constant(_LEVELS / (_LEVELS - level), inputs.dtype))

    def _kept(self, shape: tf.Tensor, level: int) -> tf.Tensor:
        """Whether each unit is kept, of that shape; false with a probability of `level` 65,536ths."""
        if not _FEW * _BYTE <= level <= (_BYTE - _FEW) * _BYTE:
            return random_bits(self._random_generator, shape, tf.uint16) >= tf.constant(level, tf.uint16)
        below, rest = divmod(level, _BYTE)
        drawn = random_bits(self._random_generator, [tf.reduce_prod(shape) + 1], tf.uint8)
        # The last byte is below `rest` with a probability of `rest` 256ths, and then lifts the level by a 256th.
        lifted = tf.cast(drawn[-1] < tf.constant(rest, tf.uint8), tf.uint8) + tf.constant(below, tf.uint8)
        return tf.reshape(drawn[:-1], shape) >= lifted
