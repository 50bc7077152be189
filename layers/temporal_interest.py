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
    `u = v~_t * sum_i alpha_i e~_i`, which is what is computed. Nor is `e~_i` formed: the
    small tables of p meet the target once, each behaviour takes its term of the score from there, and the weights of
    equal p are summed before they meet the table again. So nothing of size `[B, L, d]` is made but what the behaviours
    themselves need; terms of p and the softmax are in float32 whatever the compute dtype.

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
            name=name,
            shape=(rows, width),
            dtype="float32",
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            experimental_autocast=False,
        )

    def call(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, intervals: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the interest in the target, `[B, d]`."""
        temporal = self._temporal(mask, intervals)
        target = tf.cast(target, tf.float32) + sum(table[0] for table, _ in temporal)
        weights = self._weights(behaviours, target, mask, temporal)
        pooled = tf.matmul(tf.cast(weights, behaviours.dtype)[:, tf.newaxis], behaviours)[:, 0]
        pooled = tf.cast(pooled, tf.float32)
        for table, places in temporal:
            pooled += tf.matmul(_sums_by_place(weights, places, table.shape[0]), table)
        return tf.cast(pooled * target if self.representation else pooled, behaviours.dtype)

    def _temporal(self, mask: tf.Tensor, intervals: tf.Tensor | None) -> list[tuple[tf.Variable, tf.Tensor]]:
        """Tables of temporal encodings, each with the row `[B, L]` that a behaviour has in it; a target has row 0."""
        temporal = []
        if self.position:
            places = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
            temporal.append((self._positions, tf.minimum(places, self.max_length)))
        if self.interval:
            if intervals is None:
                raise ValueError("TemporalInterest(interval=True) needs intervals, [B, L] in seconds. Received: None.")
            temporal.append((self._intervals, self.interval_bucket(intervals)))
        return temporal

    def interval_bucket(self, intervals: tf.Tensor) -> tf.Tensor:
        """Bucket `floor(k log2(1 + seconds))` of each interval, k buckets an octave; up to 68 years."""
        seconds = tf.clip_by_value(tf.cast(intervals, tf.float32), 0.0, _LONGEST_SECONDS)
        octaves = tf.math.log1p(seconds) / math.log(2.0)
        return tf.minimum(tf.cast(tf.floor(octaves * self.buckets_per_octave), tf.int32), self._intervals.shape[0] - 1)

    def _weights(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, temporal: list[tuple[tf.Variable, tf.Tensor]]
    ) -> tf.Tensor:
        """Weights `[B, L]` that sum to 1, or are all 0 where there is no behaviour."""
        if not self.attention:
            valid = tf.cast(mask, tf.float32)
            return tf.math.divide_no_nan(valid, tf.reduce_sum(valid, axis=1, keepdims=True))
        scores = tf.matmul(behaviours, tf.cast(target, behaviours.dtype)[:, :, tf.newaxis])[:, :, 0]
        scores = tf.cast(scores, tf.float32)
        for table, places in temporal:
            scores += tf.gather(tf.matmul(target, table, transpose_b=True), places, batch_dims=1)
        scores = tf.where(mask, scores / math.sqrt(behaviours.shape[-1]), -1e9)
        return tf.where(mask, tf.nn.softmax(scores, axis=1), 0.0)

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


def _sums_by_place(weights: tf.Tensor, places: tf.Tensor, number: int) -> tf.Tensor:
    """Sums the weights `[B, L]` of equal places: `[B, number]`."""
    batch = tf.shape(weights)[0]
    segments = tf.reshape(places + number * tf.range(batch)[:, tf.newaxis], [-1])
    sums = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), segments, batch * number)
    return tf.reshape(sums, (batch, number))
