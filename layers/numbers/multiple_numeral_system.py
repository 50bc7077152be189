"""Multiple Numeral Systems: a number as the sum of the embeddings of its digits ([Tencent] §3.2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.numbers.number_columns import (
    add_stacked_tables,
    as_columns,
    ascending,
    columns_in,
    gather_stacked,
    per_column,
    shaped_like,
)
from fullrank.layers.numbers.numeral_systems import (
    digit_rows,
    missing_once,
    require_exact,
    scaled_integers,
    table_rows,
)

_SUMMED_BITS: Final = 10
"""Up to this range the digits of every integer are summed once per step, and an example looks up one row."""
_LARGEST_KNOT: Final = float(np.finfo(np.float32).max)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(values=Input("[B] or [B, n]", kind="number", known="n"))
class MultipleNumeralSystem(keras.layers.Layer):
    """Embeds a real number by its digits in several numeral systems.

    [Tencent] Eq. 2: `f(v) = sum_k X_{2k + B_k} + sum_k X_{3k + C_k} + ...`, with `B` the binary digits of v, `C` the
    ternary ones, and one row of X for each digit value at each place. Near numbers share most digits, so the order of
    numbers is preserved; a second base corrects the errors of one alone: all binary digits of 127 and 128 differ.

    The paper leaves open how a real number becomes an integer: here by a map, piecewise linear between `knots`, to
    0..2^bits-1; see `scaled_integers`. A missing number (NaN) has its own row, which replaces the sum; one out of range
    is clipped.

    The map is computed in float64, so that it is exact for all values of the numbers' own type: 24 bits of float32, 53
    of float64, all of an integer. Numbers of a type with fewer bits than the range are rejected.

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers, each with its own rows; floating or integer.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      bases: Numeral systems, each once.
      bits: The integers' range, 1 to 31.
      low: With `high`, the ends of a linear map; ignored if `knots` are given.
      high: See `low`.
      knots: Non-decreasing values that map to equally spaced integers, e.g. quantiles of the training data; for n
        numbers one such list for all, or one per number, of equal length.
    """

    def __init__(
        self,
        width: int,
        *,
        bases: tuple[int, ...] = (2, 3),
        bits: int = 8,
        low: float = 0.0,
        high: float = 1.0,
        knots: tuple[float, ...] | tuple[tuple[float, ...], ...] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        # Numbers are mapped in float64 whatever the compute dtype: bfloat16 has 8 bits and would merge their codes.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        require_counts("MultipleNumeralSystem", width=width, bits=bits, bases=tuple(bases))
        if knots is None and not low < high:
            raise ValueError(f"MultipleNumeralSystem needs low < high. Received: low={low}, high={high}.")
        self.knots = knots if knots is not None else (float(low), float(high))
        table = ascending(self.knots)
        if table is None or table.shape[1] < 2 or np.abs(table).max() > _LARGEST_KNOT:
            raise ValueError(f"knots must be two or more float32 numbers that do not decrease. Received: {self.knots}.")
        self.width = width
        self.bases = tuple(bases)
        self.bits = bits
        self._rows = table_rows(bases=self.bases, bits=bits)

    def build(self, input_shape: Any) -> None:
        """Creates the digits' rows X of every number, stacked."""
        columns = columns_in(input_shape, layer=self.name)
        self._knots_of = per_column(self.knots, columns=columns, rank=2, layer=self.name)
        self._table = add_stacked_tables(self, name="digits", columns=columns, rows=self._rows, width=self.width)
        super().build(input_shape)

    @property
    def small_tables(self) -> list[tf.Variable]:
        """The digits' rows; few examples need each row, as in an embedding table."""
        return [self._table]

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum of the digits' rows, `[B, d]` or `[B, n, d]`."""
        integers = self._integers(values)
        if self.bits <= _SUMMED_BITS:
            sums = self._sums()
            embedded = gather_stacked(tf.reshape(sums, (-1, self.width)), integers + 1, rows=sums.shape[1])
        else:
            rows = digit_rows(integers, bases=self.bases, bits=self.bits)
            found = gather_stacked(self._table, rows, rows=self._rows)
            embedded = tf.reduce_sum(found * missing_once(rows, found.dtype)[..., tf.newaxis], axis=2)
        # Cast after the lookup, whose gradient is summed over the batch in the dtype of the table.
        embedded = tf.cast(embedded, self.compute_dtype)
        return shaped_like(embedded, values)

    def _integers(self, values: tf.Tensor) -> tf.Tensor:
        """The numbers as integers, `[B, n]`; -1 if missing."""
        require_exact(values.dtype, bits=self.bits, who=f"Layer {self.name!r}")
        numbers = as_columns(values)
        # Rounded like the numbers, so that one that was on a knot still is.
        knots = tf.cast(tf.constant(self._knots_of, numbers.dtype), tf.float64)
        return scaled_integers(tf.cast(numbers, tf.float64), knots, bits=self.bits)

    def _sums(self) -> tf.Tensor:
        """The embedding of every integer, the missing one (-1) first: `[n, 1 + 2^bits, d]` in float32, or float64."""
        rows = digit_rows(tf.range(-1, 2**self.bits, dtype=tf.int64), bases=self.bases, bits=self.bits)
        tables = tf.cast(tf.reshape(self._table, (-1, self._rows, self.width)), exact_dtype(self.compute_dtype))
        once = missing_once(rows, tables.dtype)[..., tf.newaxis]
        counts = tf.reduce_sum(once * tf.one_hot(rows, self._rows, dtype=tables.dtype), axis=1)
        return tf.matmul(counts, tables)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"width": self.width, "bases": self.bases, "bits": self.bits, "knots": self.knots}
        return {**super().get_config(), **own}
