"""A number between the embeddings of the two knots around it (an alternative to [Tencent] §3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.numbers.number_columns import (
    add_stacked_tables,
    as_columns,
    ascending,
    columns_in,
    gather_stacked,
    per_column,
    shaped_like,
)
from fullrank.layers.numbers.numeral_systems import reached_edges


def piecewise_rows(values: tf.Tensor, knots: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The rows of the knots around each number, and how near it is to them.

    Args:
      values: `[B, n]`; what lies outside the knots is clipped to the first or last finite one.
      knots: `[n, K]` float64, non-decreasing, the first one finite; infinity fills up.

    Returns:
      Rows `[B, n, 2]` int64 in 1..K, or 0 twice where the number is missing (NaN); weights `[B, n, 2]` in the values'
      type, which sum to 1.
    """
    missing = tf.math.is_nan(values)
    known = tf.where(missing, tf.zeros([], tf.float64), tf.cast(values, tf.float64))
    finite = tf.where(tf.math.is_inf(knots), knots[:, :1], knots)
    known = tf.clip_by_value(known, finite[:, 0], tf.reduce_max(finite, axis=1))
    place = tf.cast(reached_edges(known, knots[:, 1:]), tf.int64)
    columns, most = tf.shape(knots, tf.int64)[0], tf.shape(knots, tf.int64)[1] - 1
    above = tf.minimum(place + 1, most)
    first = tf.range(columns) * (most + 1)
    flat = tf.reshape(knots, [-1])
    low, high = tf.gather(flat, place + first), tf.gather(flat, above + first)
    # A gap to infinity gives 0; there is none after the last knot.
    share = tf.cast(tf.math.divide_no_nan(known - low, high - low), values.dtype)
    share = tf.where(missing, tf.zeros([], values.dtype), share)
    rows = tf.where(missing[..., tf.newaxis], tf.zeros([], tf.int64), tf.stack([place, above], axis=-1) + 1)
    return rows, tf.stack([1.0 - share, share], axis=-1)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(values=Input("[B] or [B, n]", kind="number", known="n"))
class PiecewiseEmbedding(keras.layers.Layer):
    """`e(x) = (1 - s) E_j + s E_{j+1}` with `s = (x - k_j) / (k_{j+1} - k_j)` for knots `k_j <= x < k_{j+1}`.

    A continuous function of x, linear between knots, one row E per knot: a linear map of the piecewise linear
    encoding of Gorishniy et al. 2022, Eq. 1, here as a lookup of two rows for any number of knots. Beyond the outer
    knots it is constant, where theirs continues. Unlike in buckets, near numbers have near embeddings, and no number is
    lost within a bucket; a frequent value that is a knot, such as 0, still has its own row. Row 0 is that of a missing
    number (NaN), which is not in the paper.

    With knots 0, 10 and 30 the number 15 has `0.75 E_2 + 0.25 E_3`.

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers, each with its own rows.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      knots: The K knots, non-decreasing; for n numbers one such list for all or one per number, of equal length (fill
        up with infinity).

    Raises:
      ValueError: If knots decrease, are NaN, or begin with infinity.
    """

    def __init__(
        self,
        width: int,
        *,
        knots: tuple[float, ...] | tuple[tuple[float, ...], ...],
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        # Places between knots are found in float64; only rows are computed in the layer's type.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        table = ascending(knots)
        if table is None or not table.size or not np.isfinite(table[:, 0]).all():
            raise ValueError(f"knots must be numbers that do not decrease, the first one finite. Received: {knots}.")
        require_counts("PiecewiseEmbedding", width=width)
        self.width = width
        self.knots = knots
        self._rows = table.shape[1] + 1

    def build(self, input_shape: Any) -> None:
        """Creates the rows of all knots, `[n (K + 1), d]`."""
        columns = columns_in(input_shape, layer=self.name)
        self._knots = per_column(self.knots, columns=columns, rank=2, layer=self.name)
        self._table = add_stacked_tables(self, name="knots", columns=columns, rows=self._rows, width=self.width)
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings, `[B, d]` or `[B, n, d]`."""
        rows, weights = piecewise_rows(as_columns(values), tf.constant(self._knots, tf.float64))
        found = tf.cast(gather_stacked(self._table, rows, rows=self._rows), self.compute_dtype)
        embedded = tf.reduce_sum(found * tf.cast(weights, found.dtype)[..., tf.newaxis], axis=2)
        return shaped_like(embedded, values)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "width": self.width, "knots": self.knots}
