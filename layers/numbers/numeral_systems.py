"""Integers as digits of several numeral systems, each digit a row of one table ([Tencent] §3.2).

A missing number reads one row, regardless of how many a known one reads, and edges are counted by operations that every
graph converter supports.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import tensorflow as tf

MISSING_ROW = 0


_SIGNIFICANT_BITS: Final = {tf.bfloat16: 8, tf.float16: 11, tf.float32: 24, tf.float64: 53}


def missing_once(rows: tf.Tensor, dtype: tf.DType | str = tf.float32) -> tf.Tensor:
    """Weights with which a sum over rows contains the missing row at most once, and every other row unchanged.

    K times the row would be an embedding K times as large, with a gradient K times that of a digit's row: it would take
    K^2 times the step of plain gradient descent.

    Args:
      rows: `[..., K]` int64, the rows of a sum.
      dtype: Type of the weights.

    Returns:
      `[..., K]` of ones, and zeros for the missing row after its first place.
    """
    missing = tf.equal(rows, MISSING_ROW)
    earlier = tf.cumsum(tf.cast(missing, tf.int32), axis=-1, exclusive=True) > 0
    return tf.where(missing & earlier, tf.zeros([], dtype), tf.ones([], dtype))


def reached_edges(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The number of edges that are `<= value`, by bisection.

    It is `tf.searchsorted(edges, values, side="right")` per column, whose operations `UpperBound` and `LowerBound` the
    converters to ONNX and OpenVINO do not support. K edges take `log2(K + 1)` steps of a gather, a comparison and a sum
    on `[B, n]`, in about the time of `tf.searchsorted`; comparing with all edges at once would take `[B, n, K]`, and 7
    times as long at 256 edges.

    Args:
      values: `[B, n]`; NaN has reached no edge.
      edges: `[n, K]` of the same dtype, non-decreasing along K; infinite ones are legal.

    Returns:
      `[B, n]` int32 in 0..K.
    """
    columns, number = edges.shape
    steps = number.bit_length()
    # Filled up to 2^steps - 1 with edges that only an infinite value reaches, and one that is never read.
    filled = tf.pad(edges, [[0, 0], [0, 2**steps - number]], constant_values=edges.dtype.as_numpy_dtype("inf"))
    flat, starts = tf.reshape(filled, [-1]), 2**steps * tf.range(columns)
    found = tf.zeros_like(values, tf.int32)
    for step in (2**power for power in reversed(range(steps))):
        edge = tf.gather(flat, starts + found + (step - 1))
        found += tf.where(edge <= values, step, 0)
    return tf.minimum(found, number)


def passed_edges(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The number of edges that are `< value`: `tf.searchsorted` with `side="left"`. As `reached_edges` otherwise.

    It counts the edges that are not `>= value`, by `reached_edges` of the negative numbers.
    """
    return edges.shape[1] - reached_edges(-values, tf.reverse(-edges, [1]))


def digits_of(*, base: int, bits: int) -> int:
    """K_n of `MultipleNumeralSystem`: the digits that base n needs for integers below 2^bits, `ceil(bits log_n 2)`."""
    if base < 2 or not 1 <= bits <= 31:
        raise ValueError(f"A numeral system needs base >= 2 and 1 to 31 bits. Received: base {base}, {bits} bits.")
    return next(k for k in itertools.count(1) if base**k >= 2**bits)


def table_rows(*, bases: Sequence[int], bits: int) -> int:
    """Rows of the table: one for a missing number, then n rows per digit in base n.

    Raises:
      ValueError: If there is no base, or one twice, which would only double its rows.
    """
    if not bases or len(set(bases)) != len(bases):
        raise ValueError(f"Numeral systems need one base or more, each once. Received: bases={tuple(bases)}.")
    return 1 + sum(base * digits_of(base=base, bits=bits) for base in bases)


def digit_rows(integers: tf.Tensor, *, bases: Sequence[int], bits: int) -> tf.Tensor:
    """The rows whose sum is the embedding of `MultipleNumeralSystem`.

    Digit k of base n (the lowest first, k counted from 0) reads row `start_n + n k + digit`. The code is padded to K_n
    digits, so a leading zero is a row as well: in 6 bits "51" is 110011 in base 2 and 1220 in base 3.

    Args:
      integers: `[...]` int64 in 0..2^bits-1; -1 is a missing number.
      bases: Numeral systems.
      bits: The range.

    Returns:
      `[..., K]` int64 with K the sum of all K_n; where the number is missing, K times the missing row, of which
      `missing_once` leaves one.
    """
    powers, systems, starts = [], [], []
    start = 1
    for base in bases:
        count = digits_of(base=base, bits=bits)
        powers += [base**k for k in range(count)]
        systems += [base] * count
        starts += [start + base * k for k in range(count)]
        start += base * count
    integers = integers[..., tf.newaxis]
    digits = (integers // tf.constant(powers, tf.int64)) % tf.constant(systems, tf.int64)
    rows = tf.constant(starts, tf.int64) + digits
    return tf.where(integers < 0, tf.constant(MISSING_ROW, tf.int64), rows)


def require_exact(dtype: tf.DType, *, bits: int, who: str) -> None:
    """Rejects numbers of a type that cannot hold every integer of the range.

    Args:
      dtype: Type of the numbers.
      bits: The range, 0..2^bits-1.
      who: Name of the user of the numbers, for the error.

    Raises:
      ValueError: If the type has fewer significant bits, so that neighbours would have become one number.
    """
    held = _SIGNIFICANT_BITS.get(dtype, bits)
    if bits > held:
        raise ValueError(
            f"{who} distinguishes the integers below 2^{bits}, but {dtype.name} holds only those below 2^{held}: "
            f"neighbours would have one code. Give numbers in float64 or as integers, or at most {held} bits. "
            f"Received: bits={bits}, {dtype.name}."
        )


def scaled_integers(values: tf.Tensor, knots: tf.Tensor, *, bits: int | Sequence[int]) -> tf.Tensor:
    """The fitted map of real numbers to integers: piecewise linear between knots.

    Knot j of J maps to `j / (J - 1)` of the range; values between two knots in proportion. Two knots give the linear
    map, quantiles of the data the quantile map. What lies outside is clipped to the ends; NaN becomes -1. Where knots
    coincide (a number with few values), the value maps to the middle of their places.

    All of it is float64: a place of float32 times 2^bits would merge neighbours above 24 bits.

    Args:
      values: `[B, F]` float64.
      knots: `[F, J]` float64, finite, non-decreasing, J >= 2.
      bits: The range, 0..2^bits-1: one, or one per feature.

    Returns:
      `[B, F]` int64.
    """
    missing = tf.math.is_nan(values)
    number = knots.shape[1]
    known = tf.where(missing, tf.zeros([], values.dtype), values)
    left, right = passed_edges(known, knots), reached_edges(known, knots)
    below = tf.clip_by_value(right - 1, 0, number - 2)
    flat, at = tf.reshape(knots, [-1]), below + number * tf.range(knots.shape[0])
    low, high = tf.gather(flat, at), tf.gather(flat, at + 1)
    share = tf.clip_by_value(tf.math.divide_no_nan(known - low, high - low), 0.0, 1.0)
    # Beyond the last knot, which may coincide with the one before it.
    share = tf.where(known > high, tf.ones([], values.dtype), share)
    between = tf.cast(below, values.dtype) + share
    on_knots = tf.cast(left + right - 1, values.dtype) / 2.0
    place = tf.where(right > left, on_knots, between) / float(number - 1)
    largest = np.broadcast_to(2 ** np.asarray(bits, np.int64) - 1, (knots.shape[0],))
    integers = tf.cast(tf.round(place * tf.constant(largest, values.dtype)), tf.int64)
    return tf.where(missing, tf.constant(-1, tf.int64), integers)
