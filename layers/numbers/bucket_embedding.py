"""A number as the embedding of the bucket it falls into (an alternative to [Tencent] §3.2)."""

from __future__ import annotations

from typing import Any

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


def bucket_rows(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The row of each number's bucket: values `[B, n]`, edges `[n, k - 1]` -> `[B, n]` int64 in 1..k; 0 if missing."""
    missing = tf.math.is_nan(values)
    rows = tf.cast(reached_edges(values, edges), tf.int64) + 1
    return tf.where(missing, tf.zeros([], tf.int64), rows)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(values=Input("[B] or [B, n]", kind="number", known="n"))
class BucketEmbedding(keras.layers.Layer):
    """One row per bucket: k - 1 boundaries make k buckets; a number on a boundary belongs to the upper one.

    The order of the buckets is lost: rows of neighbours are independent. Row 0 is that of a missing number (NaN), row 1
    that of the lowest bucket.

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers, each with its own rows.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      boundaries: The k - 1 boundaries, non-decreasing; for n numbers one such list for all or one per number, of equal
        length (fill up with infinity).
    """

    def __init__(
        self,
        width: int,
        *,
        boundaries: tuple[float, ...] | tuple[tuple[float, ...], ...],
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        table = ascending(boundaries)
        if table is None:
            raise ValueError(f"boundaries must be numbers that do not decrease. Received: {boundaries}.")
        require_counts("BucketEmbedding", width=width)
        self.width = width
        self.boundaries = boundaries
        self._rows = table.shape[1] + 2

    def build(self, input_shape: Any) -> None:
        """Creates the rows of all buckets, `[n (k + 1), d]`."""
        columns = columns_in(input_shape, layer=self.name)
        self._edges = per_column(self.boundaries, columns=columns, rank=2, layer=self.name)
        self._table = add_stacked_tables(self, name="buckets", columns=columns, rows=self._rows, width=self.width)
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the rows, `[B, d]` or `[B, n, d]`."""
        numbers = as_columns(values)
        rows = bucket_rows(numbers, tf.constant(self._edges, numbers.dtype))
        embedded = tf.cast(gather_stacked(self._table, rows, rows=self._rows), self.compute_dtype)
        return shaped_like(embedded, values)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "width": self.width, "boundaries": self.boundaries}
