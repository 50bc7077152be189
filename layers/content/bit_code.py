"""A HashID as the sum of the embeddings of its bits ([Tencent] §3.2).

Bits are rows of one table: the binary system of `MultipleNumeralSystem`, applied to given bits.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.numbers.numeral_systems import MISSING_ROW, missing_once


def bit_table_rows(bits: int, *, group: int = 1) -> int:
    """Rows of the table: one for missing bits, then 2^group per group of neighbours; the last may be smaller."""
    if bits < 1 or not 1 <= group <= 16:
        raise ValueError(f"A code needs bits >= 1 and groups of 1 to 16. Received: {bits} bits, group={group}.")
    whole, rest = divmod(bits, group)
    return 1 + (whole << group) + ((1 << rest) if rest else 0)


def bit_rows(bits: tf.Tensor, *, group: int = 1) -> tf.Tensor:
    """The rows whose sum is the embedding of `MultipleNumeralSystem`.

    Bit k of value b (k counted from 0) reads row `1 + 2 k + b`. In groups of g, group k reads row `1 + 2^g k + code`,
    where bit j of the group counts 2^j.

    Args:
      bits: `[B, K]` int64. Any positive value is a 1, so no request can read beyond the table; below 0 is missing.
      group: g, number of neighbouring bits that read one row together.

    Returns:
      `[B, ceil(K / g)]` int64; the missing row wherever a bit of the group is missing; `missing_once` leaves
      one of them.
    """
    count = -(-bits.shape[1] // group)
    ones = tf.minimum(bits, tf.ones([], tf.int64))
    if group > 1:
        padded = tf.pad(ones, ((0, 0), (0, count * group - bits.shape[1])))
        grouped = tf.reshape(padded, (-1, count, group))
        codes = tf.reduce_sum(tf.maximum(grouped, 0) * tf.constant([2**j for j in range(group)], tf.int64), axis=2)
        ones = tf.where(tf.reduce_any(grouped < 0, axis=2), tf.constant(-1, tf.int64), codes)
    starts = 1 + 2**group * tf.range(count, dtype=tf.int64)
    return tf.where(ones < 0, tf.constant(MISSING_ROW, tf.int64), starts + ones)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(bits=Input("[B, K]", kind="number", known="K"))
class BitCode(keras.layers.Layer):
    """Embeds bits: `f(b) = sum_k X_{2k + b_k}`, the binary system of `MultipleNumeralSystem`.

    Two ids whose bits differ at h places share all other rows, so their embeddings are close: a new ad begins with
    what was learned from similar ads. The paper applies several systems; on a HashID only the binary system is
    meaningful, because its bits are not the digits of a number.

    A sum over single bits cannot express that two bits matter together. With `group` g, g neighbouring bits read one
    of 2^g rows: more is expressed, and less is shared. The paper has g = 1.

    Call arguments:
      bits: `[B, K]` of 0 and 1 in any numeric dtype, as from `HashID`. Any positive value is a 1; a negative one is
        missing, as is its whole group.

    Returns:
      `[B, d]`. If any bits are missing, a row of their own joins the sum, once.

    Args:
      width: d.
      bits: K.
      group: g, 1 to 16.
    """

    def __init__(
        self,
        width: int,
        bits: int,
        *,
        group: int = 1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        require_counts("BitCode", width=width, bits=bits, group=group)
        self._rows = bit_table_rows(bits, group=group)
        self.width = width
        self.bits = bits
        self.group = group

    def build(self, input_shape: Any) -> None:
        """Creates the rows X."""
        if len(input_shape) != 2 or input_shape[1] != self.bits:
            raise ValueError(f"{self.name} takes [B, {self.bits}] bits. Received: {tuple(input_shape)}.")
        self._table = self.add_weight(
            name="bits",
            shape=(self._rows, self.width),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
        )
        super().build(input_shape)

    def call(self, bits: tf.Tensor) -> tf.Tensor:
        """Returns the sum of the bits' rows, `[B, d]`."""
        rows = bit_rows(tf.cast(bits, tf.int64), group=self.group)
        found = tf.gather(self._table, rows)
        summed = tf.reduce_sum(found * missing_once(rows, found.dtype)[..., tf.newaxis], axis=1)
        return tf.cast(summed, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "width": self.width, "bits": self.bits, "group": self.group}
