"""Bits as rows of one table: the binary system of `MultipleNumeralSystem` on bits that are given ([Tencent] §3.2)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers.numbers.missing_once import MISSING_ROW


def bit_table_rows(bits: int, *, group: int = 1) -> int:
    """Rows of the table: one for missing bits, then 2^group a group of neighbours; the last may be smaller."""
    if bits < 1 or not 1 <= group <= 16:
        raise ValueError(f"A code needs bits >= 1 and groups of 1 to 16. Received: {bits} bits, group={group}.")
    whole, rest = divmod(bits, group)
    return 1 + (whole << group) + ((1 << rest) if rest else 0)


def bit_rows(bits: tf.Tensor, *, group: int = 1) -> tf.Tensor:
    """The rows whose sum is the embedding of `MultipleNumeralSystem`.

    Bit k of value b (k counted from 0) reads row `1 + 2 k + b`. In groups of g, group k reads row `1 + 2^g k + code`,
    where bit j of the group counts 2^j.

    Args:
      bits: `[B, K]` int64. Any positive value is a 1, so that no request can read beyond the table; below 0 is missing.
      group: g, how many neighbouring bits read one row together.

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
