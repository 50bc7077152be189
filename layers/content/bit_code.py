"""A HashID as the sum of the embeddings of its bits ([Tencent] §3.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.bit_rows import bit_rows, bit_table_rows
from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.numbers.missing_once import missing_once


@keras.saving.register_keras_serializable(package="fullrank")
@takes(bits=Input("[B, K]", kind="number", known="K"))
class BitCode(keras.layers.Layer):
    """Embeds bits: `f(b) = sum_k X_{2k + b_k}`, the binary system of `MultipleNumeralSystem`.

    Two ids whose bits differ at h places share all other rows, so that their embeddings are near: a new ad begins with
    what was learned from ads that look like it. The paper applies several systems; on a HashID only the
    binary one has a meaning, because its bits are not the digits of a number.

    A sum over single bits cannot express that two bits matter together. With `group` g, g neighbouring bits read one
    of 2^g rows: more is expressed, and less is shared. g = 1 is the paper's.

    Call arguments:
      bits: `[B, K]` of 0 and 1 in any numeric dtype, as from `HashID`. Any positive value is a 1; a negative one is
        missing, as is the group that it lies in.

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
