"""Numbers as rows and weights: by quantile bucket, or scaled along one learned direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from fullrank.data.features import Numeric

NumericEncoding = Literal["buckets", "scaled"]
MISSING_ROW, DIRECTION_ROW = 0, 1


def boundaries(features: Sequence[Numeric], *, buckets: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Inner bucket boundaries `[n, buckets - 1]` at equally spaced quantiles of the training split.

    Repeated quantiles (a number with few values) leave fewer boundaries; the rest is filled with infinity, which no
    finite value reaches.
    """
    table = np.full((len(features), buckets - 1), np.inf, np.float32)
    for row, feature in zip(table, features, strict=True):
        quantiles = feature.statistics.quantiles if feature.statistics else ()
        if not quantiles:
            raise ValueError(
                f"Numeric feature {feature.name!r} has no fitted quantiles in the schema: write the records with "
                "fullrank.data.convert or fullrank.data.prepare, or use the numeric encoding 'scaled'."
            )
        at = np.linspace(0, len(quantiles) - 1, buckets + 1)[1:-1]
        inner = np.unique(np.interp(at, np.arange(len(quantiles)), quantiles).astype(np.float32))
        row[: len(inner)] = inner
    return table


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
