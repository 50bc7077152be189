"""Numbers as rows and weights: by quantile bucket, scaled along one learned direction, or by digits (Tencent Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.features import Numeric
from fullrank.layers.numeral_systems import digit_rows, digits_of, scaled_integers, table_rows

NumericEncoding = Literal["buckets", "scaled", "mns"]
MISSING_ROW, DIRECTION_ROW = 0, 1


def boundaries(features: Sequence[Numeric], *, buckets: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Inner bucket boundaries `[n, buckets - 1]` at equally spaced quantiles of the training split.

    Repeated quantiles (a number with few values) leave fewer boundaries; the rest is filled with infinity, which no
    finite value reaches.
    """
    table = np.full((len(features), buckets - 1), np.inf, np.float32)
    for row, feature in zip(table, features, strict=True):
        inner = np.unique(_resampled(feature, np.linspace(0, 1, buckets + 1)[1:-1]))
        row[: len(inner)] = inner
    return table


def knots(features: Sequence[Numeric], *, number: int = 257) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Quantiles of the training split, `[n, number]`: the fitted map from numbers to integers for `mns`."""
    return np.stack([_resampled(feature, np.linspace(0, 1, number)) for feature in features])


def _resampled(feature: Numeric, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    quantiles = feature.statistics.quantiles if feature.statistics else ()
    if not quantiles:
        raise ValueError(
            f"Numeric feature {feature.name!r} has no fitted quantiles in the schema: write the records with "
            "fullrank.data.convert or fullrank.data.prepare, or use the numeric encoding 'scaled'."
        )
    return np.interp(shares, np.linspace(0, 1, len(quantiles)), quantiles).astype(np.float32)


def bucket_rows(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The row of each number's bucket: values `[B, n]`, edges `[n, k - 1]` -> `[B, n]` int64 in 1..k; 0 if missing."""
    missing = tf.math.is_nan(values)
    found = tf.searchsorted(edges, tf.transpose(tf.where(missing, tf.zeros([]), values)), side="right")
    rows = tf.cast(tf.transpose(found), tf.int64) + 1
    return tf.where(missing, tf.zeros([], tf.int64), rows)


def scaled_rows(
    values: tf.Tensor, mean: tf.Tensor, std: tf.Tensor, *, limit: float = 8.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """`e = z v` with `z = (x - mean) / std` clipped to ±`limit`: rows `[B, n]` and weights `[B, n]`.

    A missing number reads row 0 with weight 1, so that it has an embedding of its own.
    """
    missing = tf.math.is_nan(values)
    scaled = tf.clip_by_value((values - mean) / std, -limit, limit)
    rows = tf.where(missing, tf.constant(MISSING_ROW, tf.int64), tf.constant(DIRECTION_ROW, tf.int64))
    return rows, tf.where(missing, tf.ones([]), scaled)


class NumberCode(Protocol):
    """How the numeric features of a schema are looked up: each reads `lookups` of the `rows` of its table."""

    rows: int
    lookups: int
    weighted: bool

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Rows `[B, n lookups]` (and their weights, if weighted) of values `[B, n]`."""


class BucketCode:
    """One row a quantile bucket.

    Args:
      features: With fitted quantiles.
      buckets: How many.
    """

    def __init__(self, features: Sequence[Numeric], *, buckets: int) -> None:
        self.rows, self.lookups, self.weighted = buckets + 1, 1, False
        self._edges = boundaries(features, buckets=buckets)

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        return bucket_rows(values, tf.constant(self._edges)), None


class ScaledCode:
    """One direction a feature, times the standardised number.

    Args:
      features: Standardised by their fitted mean and deviation; taken as they are where nothing was fitted.
    """

    def __init__(self, features: Sequence[Numeric]) -> None:
        self.rows, self.lookups, self.weighted = 2, 1, True
        fitted = [f.statistics for f in features]
        self._mean = np.array([s.mean if s else 0.0 for s in fitted], np.float32)
        self._std = np.array([s.std if s and s.std > 0 else 1.0 for s in fitted], np.float32)

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        return scaled_rows(values, tf.constant(self._mean), tf.constant(self._std))


class NumeralCode:
    """The digits of several numeral systems, of integers that the fitted quantiles map numbers to (Tencent Eq. 2).

    Args:
      features: With fitted quantiles.
      bases: Numeral systems.
      bits: Integers are below 2^bits.
    """

    def __init__(self, features: Sequence[Numeric], *, bases: Sequence[int], bits: int) -> None:
        self._bases, self._bits = tuple(bases), bits
        self._knots = knots(features)
        self.rows = table_rows(bases=self._bases, bits=bits)
        self.lookups = sum(digits_of(base=base, bits=bits) for base in self._bases)
        self.weighted = False

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        integers = scaled_integers(values, tf.constant(self._knots), bits=self._bits)
        rows = digit_rows(integers, bases=self._bases, bits=self._bits)
        return tf.reshape(rows, (-1, len(self._knots) * self.lookups)), None
