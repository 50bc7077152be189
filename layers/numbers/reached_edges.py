"""How many edges a number has reached, by operations that every converter of a graph knows."""

from __future__ import annotations

import tensorflow as tf


def reached_edges(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The number of edges that are `<= value`, by bisection.

    It is `tf.searchsorted(edges, values, side="right")` by columns, whose operations `UpperBound` and `LowerBound` no
    converter knows (ONNX, OpenVINO). K edges take `log2(K + 1)` steps of a gather, a comparison and a sum on `[B, n]`,
    in about the time of `tf.searchsorted`; comparing with all edges at once would take `[B, n, K]`, and 7 times as long
    at 256 edges.

    Args:
      values: `[B, n]`; NaN has reached no edge.
      edges: `[n, K]` of the same dtype, non-decreasing along K; infinite ones are legal.

    Returns:
      `[B, n]` int32 in 0..K.
    """
    columns, number = edges.shape
    steps = number.bit_length()
    # Filled up to 2^steps - 1 by what only an infinite value reaches, and one that is never looked at.
    filled = tf.pad(edges, [[0, 0], [0, 2**steps - number]], constant_values=edges.dtype.as_numpy_dtype("inf"))
    flat, starts = tf.reshape(filled, [-1]), 2**steps * tf.range(columns)
    found = tf.zeros_like(values, tf.int32)
    for step in (2**power for power in reversed(range(steps))):
        edge = tf.gather(flat, starts + found + (step - 1))
        found += tf.where(edge <= values, step, 0)
    return tf.minimum(found, number)


def passed_edges(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """The number of edges that are `< value`: `tf.searchsorted` with `side="left"`. As `reached_edges` otherwise.

    The edges from the other side: those that are not `>= value`, which the negative numbers have reached in turn.
    """
    return edges.shape[1] - reached_edges(-values, tf.reverse(-edges, [1]))
