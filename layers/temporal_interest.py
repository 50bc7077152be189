"""The Temporal Interest Module: past behaviours, seen from the target and in time (Tencent §3.1, Eq. 1)."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

_LONGEST_SECONDS = 2.0**31


@keras.saving.register_keras_serializable(package="fullrank")
class TemporalInterest(keras.layers.Layer):
    """Target-aware attention times target-aware representation, over temporally encoded behaviours.

    Eq. 1: `u = sum_i alpha(e~_i, v~_t) (e~_i * v~_t)` with `e~_i = e_i + p_i` and `*` element-wise. Here
    `alpha = softmax_i(<e~_i, v~_t> / sqrt(d))` over the valid behaviours, and `p_i` is the sum of an embedding of the
    relative position (the most recent behaviour has 1, the target 0) and one of the time interval to the target, in
    logarithmic buckets. The target is encoded alike, at position 0 and interval 0. Because `v~_t` does not depend on i,
    `u = v~_t * sum_i alpha_i e~_i`, which is what is computed.

    Each part can be left out: `position`, `interval` (together the target-aware temporal encoding), `attention` (then a
    mean) and `representation` (then `sum_i alpha_i e~_i`). The paper names the parts; softmax, scale and buckets are
    our choice.

    Call arguments:
      behaviours: `[B, L, d]`, oldest first, left-aligned.
      target: `[B, d]`.
      mask: `[B, L]`, true where there is a behaviour.
      intervals: `[B, L]`, seconds from behaviour to target; needed if `interval`. Subtract the integer times before the
        cast to float, or milliseconds since 1970 lose their last 100 seconds. Negative ones count as 0.

    Returns:
      `[B, d]`; zero where there is no behaviour.

    Args:
      max_length: Longest sequence; positions are embedded up to it.
      position: Whether the relative position is encoded.
      interval: Whether the time interval is encoded.
      attention: Whether behaviours are weighted by the target; a plain mean otherwise.
      representation: Whether the result is multiplied by the target.
      buckets_per_octave: Interval buckets for each doubling of `1 + seconds`.
    """

    def __init__(
        self,
        max_length: int,
        *,
        position: bool = True,
        interval: bool = True,
        attention: bool = True,
        representation: bool = True,
        buckets_per_octave: int = 1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.max_length = max_length
        self.position = position
        self.interval = interval
        self.attention = attention
        self.representation = representation
        self.buckets_per_octave = buckets_per_octave

    def build(self, input_shape: Any) -> None:
        """Creates the two small tables of temporal encodings."""
        if self.position:
            self._positions = self._table("positions", self.max_length + 1, input_shape[-1])
        if self.interval:
            buckets = int(math.log2(1 + _LONGEST_SECONDS) * self.buckets_per_octave) + 1
            self._intervals = self._table("intervals", buckets, input_shape[-1])
        super().build(input_shape)

    def _table(self, name: str, rows: int, width: int) -> tf.Variable:
        return self.add_weight(
            name=name, shape=(rows, width), initializer=keras.initializers.RandomUniform(-0.05, 0.05)
        )

    def call(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, intervals: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the interest in the target, `[B, d]`."""
        target = tf.cast(target, behaviours.dtype)
        if self.position:
            places = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
            behaviours += self._encoded(self._positions, tf.minimum(places, self.max_length))
            target += tf.cast(self._positions[0], target.dtype)
        if self.interval:
            if intervals is None:
                raise ValueError("TemporalInterest(interval=True) needs intervals, [B, L] in seconds. Received: None.")
            behaviours += self._encoded(self._intervals, self.interval_bucket(intervals))
            target += tf.cast(self._intervals[0], target.dtype)
        pooled = tf.matmul(self._attention(behaviours, target, mask)[:, tf.newaxis], behaviours)[:, 0]
        return pooled * target if self.representation else pooled

    def interval_bucket(self, intervals: tf.Tensor) -> tf.Tensor:
        """Bucket `floor(k log2(1 + seconds))` of each interval, k buckets an octave; up to 68 years."""
        seconds = tf.clip_by_value(tf.cast(intervals, tf.float32), 0.0, _LONGEST_SECONDS)
        octaves = tf.math.log1p(seconds) / math.log(2.0)
        return tf.minimum(tf.cast(tf.floor(octaves * self.buckets_per_octave), tf.int32), self._intervals.shape[0] - 1)

    def _encoded(self, table: tf.Variable, places: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(table, places), self.compute_dtype)

    def _attention(self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Weights `[B, L]` that sum to 1, or are all 0 where there is no behaviour."""
        if self.attention:
            scores = tf.matmul(behaviours, target[:, :, tf.newaxis])[:, :, 0] / math.sqrt(behaviours.shape[-1])
            scores = tf.where(mask, tf.cast(scores, tf.float32), -1e9)
            weights = tf.nn.softmax(scores, axis=1)
        else:
            valid = tf.cast(mask, tf.float32)
            weights = tf.math.divide_no_nan(valid, tf.reduce_sum(valid, axis=1, keepdims=True))
        return tf.cast(tf.where(mask, weights, 0.0), behaviours.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "max_length": self.max_length,
            "position": self.position,
            "interval": self.interval,
            "attention": self.attention,
            "representation": self.representation,
            "buckets_per_octave": self.buckets_per_octave,
        }
        return {**super().get_config(), **own}
