"""The Temporal Interest Module: target-aware and time-aware interest from past behaviours ([Tencent] §3.1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, known_places, takes
from fullrank.layers.numbers.numeral_systems import reached_edges
from fullrank.layers.sequences.request_tiles import request_tiles

_OCTAVES = 31


@keras.saving.register_keras_serializable(package="fullrank")
@takes(
    behaviours=Input("[B, L, d]", known="d"),
    target=Input("[B, d]"),
    mask=Input("[B, L]", kind="bool"),
    intervals=Input("[B, L]", kind="number", optional=True),
)
class TemporalInterest(keras.layers.Layer):
    """Target-aware attention times target-aware representation, over temporally encoded behaviours.

    [Tencent] Eq. 1: `u = sum_i alpha(e~_i, v~_t) (e~_i * v~_t)` with `e~_i = e_i + p_i` and `*` element-wise. Here
    `alpha = softmax_i(<e~_i, v~_t> / sqrt(d))` over the valid behaviours, and `p_i` is the sum of an embedding of the
    relative position (the most recent behaviour has 1, the target 0) and one of the time interval to the target, in
    logarithmic buckets. The target is encoded likewise, at position 0 and interval 0. Because `v~_t` does not depend on
    i, `u = v~_t * sum_i alpha_i e~_i`, which is what is computed. Nor is `e~_i` formed: the small tables of p are
    multiplied by the target once, each behaviour gathers its term of the score from the result, and the weights of
    equal p are summed before they are multiplied by the table. So no tensor of size `[B, L, d]` is created apart from
    the behaviours themselves; terms of p and the softmax are computed in float32 at least.

    With `scale` s everything is computed from `e~ / s` and `v~ / s`, and u is multiplied by s: `alpha` has scores
    `<e~, v~> / (s^2 sqrt(d))` and `u = sum_i alpha_i e~_i * v~_t / s`. Rows of an embedding table start at a few
    hundredths, a product of two at a thousandth: without a scale the softmax is uniform to four digits, its gradient as
    small, and u a tenth of the other fields, so that neither becomes active in a training run of usual length. If s is
    the size that rows have after some training, scores are of order 1 and u has the size of e. The scale is not in the
    paper; s = 1 is the paper's equation.

    Each part can be left out: `position`, `interval` (together the target-aware temporal encoding), `attention` (then a
    mean) and `representation` (then `sum_i alpha_i e~_i`). The paper names the parts; softmax, scale and buckets are
    our choice.

    Call arguments:
      behaviours: `[B, L, d]`, oldest first, left-aligned.
      target: `[B, d]`.
      mask: `[B, L]` bool, true where there is a behaviour; values elsewhere, in behaviours and in intervals, are
        ignored, NaN included.
      intervals: `[B, L]`, seconds from behaviour to target; needed if `interval`. Subtract the integer times before the
        cast to float, or milliseconds since 1970 lose their last 100 seconds. Negative intervals and NaN count as 0,
        those above 2^31 (68 years) as 2^31.

    Returns:
      `[B, d]`; zero where there is no behaviour.

    Args:
      max_length: The largest relative position with its own embedding. L may exceed it; the older behaviours
        then share the embedding of position `max_length`.
      position: Whether the relative position is encoded.
      interval: Whether the time interval is encoded.
      attention: Whether behaviours are weighted by the target; a plain mean otherwise.
      representation: Whether the result is multiplied by the target.
      buckets_per_octave: Interval buckets for each doubling of `1 + seconds`.
      scale: s, the typical absolute value of an entry of behaviours and target.

    Raises:
      ValueError: If s is not above 0.
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
        scale: float = 1.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("TemporalInterest", max_length=max_length, buckets_per_octave=buckets_per_octave)
        if not 0.0 < scale < math.inf:
            raise ValueError(f"TemporalInterest needs a scale above 0. Received: {scale}.")
        self.max_length = max_length
        self.position = position
        self.interval = interval
        self.attention = attention
        self.representation = representation
        self.buckets_per_octave = buckets_per_octave
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        """Creates the two small tables of temporal encodings."""
        if self.position:
            self._positions = self._table("positions", self.max_length + 1, input_shape[-1])
        if self.interval:
            # Comparisons decide where a bucket begins: a rounded logarithm could fall on the other side under XLA.
            places = np.arange(1, _OCTAVES * self.buckets_per_octave + 1) / self.buckets_per_octave
            self._edges = 2.0**places - 1.0
            self._intervals = self._table("intervals", len(self._edges) + 1, input_shape[-1])
        super().build(input_shape)

    @property
    def small_tables(self) -> list[tf.Variable]:
        """The tables of temporal encodings; few examples need each row, as in an embedding table."""
        return [*([self._positions] if self.position else []), *([self._intervals] if self.interval else [])]

    def _table(self, name: str, rows: int, width: int) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=(rows, width),
            dtype=exact_dtype(self.variable_dtype),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            experimental_autocast=False,
        )

    def call(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, intervals: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the interest in the target, `[B, d]`."""
        exact = exact_dtype(self.compute_dtype)
        behaviours = known_places(behaviours, mask)
        temporal = self._temporal(mask, intervals)
        target = tf.cast(target, exact) + sum(table[0] for table, _ in temporal)
        weights = self._weights(behaviours, target, mask, temporal)
        pooled = tf.matmul(tf.cast(weights, behaviours.dtype)[:, tf.newaxis], behaviours)[:, 0]
        pooled = tf.cast(pooled, exact)
        for table, places in temporal:
            pooled += tf.matmul(_sums_by_place(weights, places, table.shape[0]), table)
        interest = pooled * (target / self.scale) if self.representation else pooled
        return tf.cast(interest, behaviours.dtype)

    def of_targets(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, intervals: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the interest of one user in many targets, `[N, d]`, as `call` does for N copies of the behaviours.

        Scores and sums are products of all targets with the encoded behaviours `[L, d]`. Needs `build`.

        Args:
          behaviours: `[1, L, d]`.
          target: `[N, d]`.
          mask: `[1, L]`.
          intervals: `[1, L]`.
        """
        exact = exact_dtype(self.compute_dtype)
        temporal = self._temporal(mask, intervals)
        encoded = tf.cast(known_places(behaviours, mask), exact)[0]
        encoded += sum(tf.gather(table, places[0]) for table, places in temporal)
        given, target = target, tf.cast(target, exact) + sum(table[0] for table, _ in temporal)
        if self.attention:
            scores = tf.matmul(
                target / (self.scale**2 * math.sqrt(encoded.shape[-1])), tf.cast(encoded, exact), transpose_b=True
            )
            weights = known_places(tf.nn.softmax(tf.where(mask, scores, tf.constant(-1e9, exact)), axis=1), mask)
        else:
            weights = self._even_weights(mask)
        pooled = tf.matmul(weights, encoded)
        interest = pooled * (target / self.scale) if self.representation else pooled + tf.zeros_like(target)
        return tf.cast(interest, given.dtype)

    def of_requests(
        self,
        behaviours: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor,
        intervals: tf.Tensor | None = None,
        *,
        owner: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the interest of R users in the targets of each, `[B, d]`, as `call` does for repeated behaviours.

        The encoded behaviours are formed once per request, and scores and sums are products of them with all targets of
        the request (`request_tiles`). Gradients flow to everything that they flow to in `call`. Needs `build`.

        Args:
          behaviours: `[R, L, d]`.
          target: `[B, d]`.
          mask: `[R, L]`.
          intervals: `[R, L]`.
          owner: The request of each target, int32 `[B]`: ascending, from 0 to R - 1.
        """
        exact, tiles = exact_dtype(self.compute_dtype), request_tiles(owner)
        temporal = self._temporal(mask, intervals)
        encoded = tf.cast(known_places(behaviours, mask), exact)
        for table, places in temporal:
            encoded += _rows_of(tf.convert_to_tensor(table), places)
        encoded, mask = tf.gather(encoded, tiles.request), tf.gather(mask, tiles.request)
        given, target = target, tf.cast(target, exact) + sum(table[0] for table, _ in temporal)
        if self.attention:
            scores = tf.matmul(
                tiles.put(target / (self.scale**2 * math.sqrt(encoded.shape[-1]))), encoded, transpose_b=True
            )
            scores = tf.where(mask[:, tf.newaxis], scores, tf.constant(-1e9, exact))
            weights = known_places(tf.nn.softmax(scores, axis=2), mask[:, tf.newaxis])
            pooled = tiles.take(tf.matmul(weights, encoded))
        else:
            mean = tf.matmul(self._even_weights(mask)[:, tf.newaxis], encoded)[:, 0]
            pooled = tf.gather(mean, tiles.places[:, 0])
        interest = pooled * (target / self.scale) if self.representation else pooled
        return tf.cast(interest, given.dtype)

    def attention_of(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, intervals: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the weights alpha that `call` gives the behaviours, `[B, L]`."""
        behaviours = known_places(behaviours, mask)
        temporal = self._temporal(mask, intervals)
        target = tf.cast(target, exact_dtype(self.compute_dtype)) + sum(table[0] for table, _ in temporal)
        return self._weights(behaviours, target, mask, temporal)

    def _temporal(self, mask: tf.Tensor, intervals: tf.Tensor | None) -> list[tuple[tf.Variable, tf.Tensor]]:
        """Tables of temporal encodings, each with the row of every behaviour, `[B, L]`; the target has row 0."""
        temporal = []
        if self.position:
            places = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
            temporal.append((self._positions, tf.minimum(places, self.max_length)))
        if self.interval:
            if intervals is None:
                raise ValueError("TemporalInterest(interval=True) needs intervals, [B, L] in seconds. Received: None.")
            temporal.append(
                (self._intervals, self.interval_bucket(tf.where(mask, intervals, tf.zeros_like(intervals))))
            )
        return temporal

    def interval_bucket(self, intervals: tf.Tensor) -> tf.Tensor:
        """Returns each interval's bucket `floor(k log2(1 + seconds))`, k buckets per octave; up to 68 years."""
        seconds = tf.cast(intervals, exact_dtype(self.compute_dtype))
        found = reached_edges(tf.reshape(seconds, (-1, 1)), tf.constant(self._edges[np.newaxis], seconds.dtype))
        return tf.reshape(found, tf.shape(seconds))

    def _weights(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, temporal: list[tuple[tf.Variable, tf.Tensor]]
    ) -> tf.Tensor:
        """Weights `[B, L]` that sum to 1, or are all 0 where there is no behaviour."""
        if not self.attention:
            return self._even_weights(mask)
        target = target / (self.scale**2 * math.sqrt(behaviours.shape[-1]))
        scores = tf.matmul(behaviours, tf.cast(target, behaviours.dtype)[:, :, tf.newaxis])[:, :, 0]
        scores = tf.cast(scores, exact_dtype(self.compute_dtype))
        for table, places in temporal:
            scores += tf.gather(tf.matmul(target, table, transpose_b=True), places, batch_dims=1)
        scores = tf.where(mask, scores, tf.constant(-1e9, scores.dtype))
        return known_places(tf.nn.softmax(scores, axis=1), mask)

    def _even_weights(self, mask: tf.Tensor) -> tf.Tensor:
        valid = tf.cast(mask, exact_dtype(self.compute_dtype))
        return tf.math.divide_no_nan(valid, tf.reduce_sum(valid, axis=1, keepdims=True))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "max_length": self.max_length,
            "position": self.position,
            "interval": self.interval,
            "attention": self.attention,
            "representation": self.representation,
            "buckets_per_octave": self.buckets_per_octave,
            "scale": self.scale,
        }
        return {**super().get_config(), **own}


@tf.custom_gradient
def _rows_of(table: tf.Tensor, places: tf.Tensor) -> Any:
    """Rows of a small table, `[R, L, d]`; its gradient is dense, as that of `call` is."""
    number = table.shape[0]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        flat = tf.reshape(upstream, (-1, table.shape[1]))
        return tf.math.unsorted_segment_sum(flat, tf.reshape(places, [-1]), number), None

    return tf.gather(table, places), gradient


def _sums_by_place(weights: tf.Tensor, places: tf.Tensor, number: int) -> tf.Tensor:
    """Sums the weights `[B, L]` of equal positions: `[B, number]`."""
    batch = tf.shape(weights)[0]
    segments = tf.reshape(places + number * tf.range(batch)[:, tf.newaxis], [-1])
    sums = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), segments, batch * number)
    return tf.reshape(sums, (batch, number))
