"""Inputs that are not rows of a table: embedded real numbers, pretrained vectors, and ages of behaviours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from fullrank.data.records.per_request import PerRequest
from fullrank.data.schema.features import Numeric, Sequence, Vector
from fullrank.data.schema.schema import Schema
from fullrank.layers.content.pair_similarity import LARGEST, PairSimilarity
from fullrank.layers.numbers.scaled_number import standardised
from fullrank.models.encoding import numbers
from fullrank.models.options import NumericEncoding, Similarity, VectorEncoding


class DenseInputs(NamedTuple):
    """The dense part of a batch, the same for all embedding sets.

    Attributes:
      numbers: `[B, n]` float32, standardised, NaN where missing; `None` if there are none.
      similarities: `[B, p]` float32, one per pair of vectors, NaN where either is missing; `None` if there are none.
      vectors: The vectors that are projected, `[B, length]` each, unchanged.
      raw: `[B, m]`, the vectors that are used as they are, concatenated; `None` if there are none.
    """

    numbers: Any
    similarities: Any
    vectors: tuple[Any, ...]
    raw: Any


class DenseEncoder(tf.Module):
    """Extracts, once per batch, the numbers and vectors that need no table lookup.

    Attributes:
      numbers: The numeric features among them.
      pairs: The pairs of vectors that are compared.
      vectors: The vectors that are projected.
      raw: The vectors that are used as they are.

    Args:
      schema: Schema of the batches.
      numeric: The encoding of numbers; numbers are included if it is one of `numbers.NETWORKS`.
      vectors: `similarity` compares the pairs that the schema declares ([Tencent] §3.3) and projects vectors without a
        pair; `projection` projects all, `raw` uses all as they are.
      similarity: `cosine` or `dot`.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        numeric: NumericEncoding = "buckets",
        vectors: VectorEncoding = "similarity",
        similarity: Similarity = "cosine",
    ) -> None:
        super().__init__(name="dense")
        given = {f.name: f for f in schema.features if isinstance(f, Vector)}
        real = tuple(f for f in schema.features if isinstance(f, Numeric))
        self.numbers = real if numeric in numbers.NETWORKS else ()
        self._mean, self._std = numbers.moments(self.numbers)
        declared = tuple((f, given[f.pair]) for f in given.values() if f.pair is not None)
        self.pairs = declared if vectors == "similarity" else ()
        compared = {f.name for pair in self.pairs for f in pair}
        alone = tuple(f for f in given.values() if f.name not in compared)
        self.vectors = () if vectors == "raw" else alone
        self.raw = alone if vectors == "raw" else ()
        self._similarity = PairSimilarity(similarity, name="similarity")

    def similarity_knots(self) -> tuple[tuple[float, ...], ...]:
        """The map from each pair's similarity to integers: linear for a cosine, by fitted quantiles for a dot product.

        Raises:
          ValueError: If the schema has no quantiles of a dot product.
        """
        if self._similarity.similarity == "cosine":
            return ((-1.0, 1.0),) * len(self.pairs)
        return tuple(tuple(numbers.dot_product_knots(vector).tolist()) for vector, _ in self.pairs)

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> DenseInputs:
        """Extracts them from a batch of raw columns."""
        real = similarities = raw = None
        if self.numbers:
            values = tf.stack([batch[f.name] for f in self.numbers], axis=1)
            real = standardised(values, tf.constant(self._mean), tf.constant(self._std))
        if self.pairs:
            found = [self._similarity(batch[one.name], batch[other.name]) for one, other in self.pairs]
            similarities = tf.stack(found, axis=1)
        if self.raw:
            raw = tf.concat([_with_indicator(batch[f.name]) for f in self.raw], axis=1)
        return DenseInputs(real, similarities, tuple(batch[f.name] for f in self.vectors), raw)


def _with_indicator(vector: tf.Tensor) -> tf.Tensor:
    """A vector `[B, n]`, zero if missing, and a flag for missing: `[B, n + 1]`; components are clipped to ±1e6."""
    missing = tf.reduce_any(tf.logical_not(tf.math.is_finite(vector)), axis=1, keepdims=True)
    known = tf.clip_by_value(tf.where(missing, tf.zeros([]), vector), -LARGEST, LARGEST)
    return tf.concat([known, tf.cast(missing, vector.dtype)], axis=1)


def timed_sequences(schema: Schema) -> dict[str, str]:
    """Sequence -> the column of its times, for the sequences whose intervals to the event are known."""
    if schema.time is None:
        return {}
    return {f.name: f.times for f in schema.features if isinstance(f, Sequence) and f.times is not None}


def elapsed_seconds(batch: Mapping[str, Any], *, schema: Schema) -> dict[str, tf.Tensor]:
    """Sequence -> seconds from each behaviour to the event, `[B, L]` float32; of times per request `[R, L]`.

    Integers are subtracted before the cast: a float32 of milliseconds since 1970 is exact to 131 seconds only.
    """
    scale = 1000.0 if schema.time_unit == "ms" else 1.0
    elapsed = {}
    for name, column in timed_sequences(schema).items():
        times, event = batch[column], batch[str(schema.time)]
        if isinstance(times, PerRequest):
            # Where times are held per request, all its rows have one event time.
            times, event = times.values, tf.math.segment_max(event, times.owner)
        elapsed[name] = tf.cast(event[:, tf.newaxis] - times, tf.float32) / scale
    return elapsed
