"""Numbers as rows and weights: by quantile bucket, scaled along one direction, or by digits ([Tencent] §3.2)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.schema.features import Numeric, NumericStatistics, Vector
from fullrank.data.schema.value_bins import bin_starts
from fullrank.layers.numbers.bucket_embedding import bucket_rows
from fullrank.layers.numbers.numeral_systems import (
    MISSING_ROW,
    digit_rows,
    digits_of,
    missing_once,
    require_exact,
    scaled_integers,
    table_rows,
)
from fullrank.layers.numbers.piecewise_embedding import piecewise_rows
from fullrank.layers.numbers.scaled_number import standardised
from fullrank.models.options import NumericEncoding

NETWORKS: tuple[NumericEncoding, ...] = ("autodis", "periodic")
"""Encodings computed by a small network instead of rows of a table."""
DIRECTION_ROW = 1


def boundaries(features: Sequence[Numeric], *, buckets: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Inner bucket boundaries `[n, buckets - 1]`: buckets hold equal shares of the training split (`bin_starts`).

    A value that is more frequent than such a share has a bucket of its own. A number with fewer values has fewer
    boundaries; the rest is filled with infinity, which no finite value reaches. Where the schema has no bins,
    boundaries are equally spaced quantiles without repetition.
    """
    table = np.full((len(features), buckets - 1), np.inf, np.float32)
    for row, feature in zip(table, features, strict=True):
        found = _bins(feature, buckets)
        inner = _equal_quantiles(feature, buckets)[1:-1] if found is None else found[1:]
        row[: len(np.unique(inner))] = np.unique(inner)
    return table


def piecewise_knots(features: Sequence[Numeric], *, buckets: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The knots `[n, buckets + 1]` of `piecewise`: where buckets begin, and the greatest value; then infinity."""
    table = np.full((len(features), buckets + 1), np.inf, np.float64)
    for row, feature in zip(table, features, strict=True):
        starts = _bins(feature, buckets)
        if starts is None or feature.statistics is None:
            found = np.unique(_equal_quantiles(feature, buckets))
        else:
            found = np.unique([*starts, np.float32(feature.statistics.maximum)])
        row[: len(found)] = found
    return table


def _equal_quantiles(feature: Numeric, buckets: int) -> npt.NDArray[np.float32]:
    """The ends of buckets at equally spaced quantiles, `[buckets + 1]`; all equal if the number was never known."""
    return _resampled(feature, np.linspace(0, 1, buckets + 1))


def _bins(feature: Numeric, buckets: int) -> npt.NDArray[np.float32] | None:
    """The least value of each bin; `None` where none were fitted.

    Raises:
      ValueError: If the bins of the schema are invalid.
    """
    statistics = feature.statistics
    if statistics is None or not statistics.values:
        return None
    values, shares = np.array(statistics.values, np.float32), np.array(statistics.shares, np.float64)
    if values.shape != shares.shape or not (np.diff(values) > 0).all() or not (shares > 0).all():
        raise ValueError(
            f"The bins of numeric feature {feature.name!r} in the schema need ascending values, each with a share "
            f"above 0: write the records again with fullrank convert. "
            f"Received: {len(values)} values, {len(shares)} shares."
        )
    return values[bin_starts(shares, bins=buckets)]


def knots(features: Sequence[Numeric], *, number: int = 257) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The fitted maps from numbers to integers for `mns`, `[n, number]`: values that map to equally spaced integers.

    `quantile`: quantiles of the training split. `linear`: equal steps from its minimum to its maximum. `log`: the same
    of `t(x) = sign(x) log(1 + |x|)`, mapped back; between two knots this map is linear, too.
    """
    shares = np.linspace(0, 1, number)
    return np.stack([_knots(feature, shares) for feature in features])


def _knots(feature: Numeric, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    if feature.map == "quantile":
        return _resampled(feature, shares)
    if feature.statistics is None:
        raise _unfitted(feature, "range")
    low, high = feature.statistics.minimum, feature.statistics.maximum
    if feature.map == "log":
        steps = _interpolated(np.copysign(np.log1p(np.abs([low, high])), [low, high]), shares)
        return np.clip(np.copysign(np.expm1(np.abs(steps)), steps), low, high).astype(np.float32)
    return _interpolated((low, high), shares).astype(np.float32)


def dot_product_knots(vector: Vector, *, number: int = 257) -> npt.NDArray[np.float32]:
    """Quantiles `[number]` of a vector's dot product with its pair; all equal if it was never known.

    Raises:
      ValueError: If nothing was fitted.
    """
    if vector.statistics is None:
        raise ValueError(
            f"Vector feature {vector.name!r} has no statistics of its dot product with {vector.pair!r} in the schema: "
            "write the records again with fullrank convert, or use the similarity 'cosine'."
        )
    return _interpolated(vector.statistics.quantiles or (0.0,), np.linspace(0, 1, number)).astype(np.float32)


def _resampled(feature: Numeric, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    statistics = feature.statistics
    never_known = statistics is not None and statistics.missing == 1.0
    quantiles = (0.0,) if never_known else statistics.quantiles if statistics is not None else ()
    if not quantiles:
        raise _unfitted(feature, "quantiles")
    return _interpolated(quantiles, shares).astype(np.float32)


def _interpolated(
    values: Sequence[float] | npt.NDArray[np.float64], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The values at given ranks (0 to 1); the values are assumed to be equally spaced in rank."""
    return np.interp(shares, np.linspace(0, 1, len(values)), values)


def _unfitted(feature: Numeric, what: str) -> ValueError:
    return ValueError(
        f"Numeric feature {feature.name!r} has no fitted {what} in the schema: write the records with "
        "fullrank convert or fullrank prepare, or use the numeric encoding 'scaled'."
    )


def moments(features: Sequence[Numeric]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fitted means and deviations, `[n]` each; 0 and 1 where nothing was fitted, and 1 as deviation of a constant."""
    fitted: list[NumericStatistics | None] = [f.statistics for f in features]
    mean = np.array([s.mean if s else 0.0 for s in fitted], np.float32)
    return mean, np.array([s.std if s and s.std > 0 else 1.0 for s in fitted], np.float32)


def scaled_rows(
    values: tf.Tensor, mean: tf.Tensor, std: tf.Tensor, *, limit: float = 8.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """`e = z v` with `z = (x - mean) / std` clipped to ±`limit`: rows `[B, n]` and weights `[B, n]`.

    A missing number reads row 0 with weight 1, so that it has an embedding of its own.
    """
    missing = tf.math.is_nan(values)
    scaled = standardised(values, mean, std, limit=limit)
    rows = tf.where(missing, tf.constant(MISSING_ROW, tf.int64), tf.constant(DIRECTION_ROW, tf.int64))
    return rows, tf.where(missing, tf.ones([]), scaled)


class NumberCode(Protocol):
    """How a schema's numbers are looked up: feature f reads `lookups[f]` of the `rows[f]` of its table."""

    rows: tuple[int, ...]
    lookups: tuple[int, ...]
    weighted: bool

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Rows `[B, sum of lookups]` (and their weights, if weighted) of values `[B, n]`."""


class BucketCode:
    """One row per quantile bucket.

    Args:
      features: Numeric features with fitted quantiles.
      buckets: Number of buckets.
    """

    def __init__(self, features: Sequence[Numeric], *, buckets: int) -> None:
        number = len(features)
        self.rows, self.lookups, self.weighted = (buckets + 1,) * number, (1,) * number, False
        self._edges = boundaries(features, buckets=buckets)

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        return bucket_rows(values, tf.constant(self._edges)), None


class PiecewiseCode:
    """Two rows, those of the knots around a number, the nearer one with the larger weight.

    Args:
      features: Numeric features with fitted bins.
      buckets: Number of gaps between knots.
    """

    def __init__(self, features: Sequence[Numeric], *, buckets: int) -> None:
        number = len(features)
        self.rows, self.lookups, self.weighted = (buckets + 2,) * number, (2,) * number, True
        self._knots = piecewise_knots(features, buckets=buckets)

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        rows, weights = piecewise_rows(values, tf.constant(self._knots))
        flat = (-1, 2 * len(self._knots))
        return tf.reshape(rows, flat), tf.reshape(weights, flat)


class ScaledCode:
    """One direction per feature, times the standardised number.

    Args:
      features: Numeric features, standardised by their fitted mean and deviation; unchanged where nothing was fitted.
    """

    def __init__(self, features: Sequence[Numeric]) -> None:
        self.rows, self.lookups, self.weighted = (2,) * len(features), (1,) * len(features), True
        self._mean, self._std = moments(features)

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        return scaled_rows(values, tf.constant(self._mean), tf.constant(self._std))


class NumeralCode:
    """The digits, in several numeral systems, of the integers to which fitted maps take numbers ([Tencent] §3.2).

    Neighbouring features with the same numeral systems are looked up together: give them `by_systems`.

    A missing number reads its row with weight 1 once, and with weight 0 in place of the other digits.

    Args:
      features: Numeric features with fitted statistics.
      bases: Numeral systems of the features that name none.
      bits: Integers are below 2^bits, for features that set no range.

    Raises:
      ValueError: If a range has more bits than a float32 number of a batch.
    """

    def __init__(self, features: Sequence[Numeric], *, bases: Sequence[int], bits: int) -> None:
        systems = [_systems(feature, bases, bits) for feature in features]
        for feature, (_, own) in zip(features, systems, strict=True):
            require_exact(tf.float32, bits=own, who=f"Numeric feature {feature.name!r}")
        self._runs = [(each, len(list(run))) for each, run in itertools.groupby(systems)]
        self._bits = [bits for _, bits in systems]
        self._knots = knots(features)
        self.rows = tuple(table_rows(bases=bases, bits=bits) for bases, bits in systems)
        self.lookups = tuple(sum(digits_of(base=base, bits=bits) for base in bases) for bases, bits in systems)
        self.weighted = True

    def __call__(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See `NumberCode`."""
        knots = tf.constant(self._knots, tf.float64)
        integers = scaled_integers(tf.cast(values, tf.float64), knots, bits=self._bits)
        found, weights, start = [], [], 0
        for (bases, bits), number in self._runs:
            rows = digit_rows(integers[:, start : start + number], bases=bases, bits=bits)
            flat = (-1, number * rows.shape[-1])
            found.append(tf.reshape(rows, flat))
            weights.append(tf.reshape(missing_once(rows), flat))
            start += number
        return tf.concat(found, axis=1), tf.concat(weights, axis=1)


def by_systems(features: Sequence[Numeric], *, bases: Sequence[int], bits: int) -> tuple[Numeric, ...]:
    """Sorts features so that those with the same numeral systems are neighbours."""
    first: dict[tuple[tuple[int, ...], int], int] = {}
    for feature in features:
        first.setdefault(_systems(feature, bases, bits), len(first))
    return tuple(sorted(features, key=lambda feature: first[_systems(feature, bases, bits)]))


def _systems(feature: Numeric, bases: Sequence[int], bits: int) -> tuple[tuple[int, ...], int]:
    return feature.bases or tuple(bases), feature.bits or bits
