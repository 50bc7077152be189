"""A number as a multiple of one direction: the simplest encoding, and a baseline of [Tencent] §3.2."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts, require_positive
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.numbers.number_columns import (
    add_missing_rows,
    as_columns,
    columns_in,
    known_numbers,
    per_column,
    with_missing,
)


def standardised(values: tf.Tensor, mean: tf.Tensor, std: tf.Tensor, *, limit: float = 8.0) -> tf.Tensor:
    """`z = (x - mean) / std` clipped to ±`limit`, `[B, n]`; NaN stays NaN."""
    scaled = tf.clip_by_value((values - mean) / std, -limit, limit)
    return tf.where(tf.math.is_nan(values), values, scaled)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(values=Input("[B] or [B, n]", kind="number", known="n"))
class ScaledNumber(keras.layers.Layer):
    """`e = z v` with `z = (x - mean) / std` clipped to ±`limit`, and a learned row where the number is missing (NaN).

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers, each with its own direction.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      mean: Mean of the numbers: one, or one per number.
      std: Standard deviation of the numbers, positive: one, or one per number.
      limit: Largest size of z, in standard deviations.
    """

    def __init__(
        self,
        width: int,
        *,
        mean: float | tuple[float, ...] = 0.0,
        std: float | tuple[float, ...] = 1.0,
        limit: float = 8.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        if min(std if isinstance(std, (tuple, list)) else [std]) <= 0:
            raise ValueError(f"std must be positive. Received: {std}.")
        require_counts("ScaledNumber", width=width)
        require_positive("ScaledNumber", limit=limit)
        self.width = width
        self.mean = mean
        self.std = std
        self.limit = limit

    def build(self, input_shape: Any) -> None:
        """Creates the directions and the rows of missing numbers, both `[n, d]`."""
        columns = columns_in(input_shape, layer=self.name)
        self._mean = per_column(self.mean, columns=columns, rank=1, layer=self.name)
        self._std = per_column(self.std, columns=columns, rank=1, layer=self.name)
        self._direction = self.add_weight(
            name="direction",
            shape=(columns, self.width),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            experimental_autocast=False,
        )
        self._missing = add_missing_rows(self, columns=columns, width=self.width)
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the fields, `[B, d]` or `[B, n, d]`."""
        numbers = as_columns(values)
        mean, std = tf.constant(self._mean, numbers.dtype), tf.constant(self._std, numbers.dtype)
        z = tf.cast(standardised(known_numbers(numbers), mean, std, limit=self.limit), self._direction.dtype)
        embedded = tf.cast(z[:, :, tf.newaxis] * self._direction, self.compute_dtype)
        return with_missing(embedded, values, self._missing)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"width": self.width, "mean": self.mean, "std": self.std, "limit": self.limit}
        return {**super().get_config(), **own}
