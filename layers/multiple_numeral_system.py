"""Multiple Numeral Systems: a number as the sum of the embeddings of its digits (Tencent §3.2, Eq. 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.numeral_systems import digit_rows, scaled_integers, table_rows


@keras.saving.register_keras_serializable(package="fullrank")
class MultipleNumeralSystem(keras.layers.Layer):
    """Embeds a real number by its digits in several numeral systems.

    Eq. 2: `f(v) = sum_k X_{2k + B_k} + sum_k X_{3k + C_k} + ...`, with `B` the binary digits of v, `C` the ternary
    ones, and one row of X for each digit value at each place. Near numbers share most digits, so the order of numbers
    survives; a second base repairs what one alone gets wrong: all binary digits of 127 and 128 differ.

    The paper leaves open how a real number becomes an integer: here by a map, piecewise linear between `knots`, to
    0..2^bits-1; see `scaled_integers`. A missing number (NaN) has a row of its own, one out of range is clipped.

    Call arguments:
      values: `[B]`.

    Returns:
      `[B, d]`.

    Args:
      width: d.
      bases: Numeral systems.
      bits: The integers' range.
      low: With `high`, the ends of a linear map; ignored if `knots` are given.
      high: See `low`.
      knots: Non-decreasing values that map to equally spaced integers, e.g. quantiles of the training data.
    """

    def __init__(
        self,
        width: int,
        *,
        bases: tuple[int, ...] = (2, 3),
        bits: int = 8,
        low: float = 0.0,
        high: float = 1.0,
        knots: tuple[float, ...] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        # Numbers are mapped in float32 whatever the compute dtype: bfloat16 has 8 bits and would merge their codes.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        self.knots = tuple(float(knot) for knot in (knots if knots is not None else (low, high)))
        if len(self.knots) < 2 or any(b < a for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError(f"knots must be two or more and must not fall; low < high. Received: {self.knots}.")
        self.width = width
        self.bases = tuple(bases)
        self.bits = bits
        self._rows = table_rows(bases=self.bases, bits=bits)

    def build(self, input_shape: Any) -> None:
        """Creates the digits' rows X."""
        self._table = self.add_weight(
            name="digits", shape=(self._rows, self.width), initializer=keras.initializers.RandomUniform(-0.05, 0.05)
        )
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum of the digits' rows, `[B, d]`."""
        values = tf.cast(values, tf.float32)[:, tf.newaxis]
        integers = scaled_integers(values, tf.constant([self.knots], tf.float32), bits=self.bits)[:, 0]
        rows = digit_rows(integers, bases=self.bases, bits=self.bits)
        return tf.cast(tf.reduce_sum(tf.gather(self._table, rows), axis=1), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"width": self.width, "bases": self.bases, "bits": self.bits, "knots": self.knots}
        return {**super().get_config(), **own}
