"""K-means, which initialises codebooks and inducing points from a batch."""

from __future__ import annotations

import tensorflow as tf


def nearest_codes(points: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """`argmin_j ||r - e_j||^2 = argmin_j ||e_j||^2 - 2 <r, e_j>`, `[B]` int32: one matrix product, no `[B, C, d]`.

    Args:
      points: `[B, d]` float32.
      codes: `[C, d]` float32. Among equally close codes, the first is taken.
    """
    points, codes = tf.stop_gradient(points), tf.stop_gradient(codes)
    distances = tf.reduce_sum(tf.square(codes), axis=1) - 2.0 * tf.matmul(points, codes, transpose_b=True)
    return tf.argmin(distances, axis=1, output_type=tf.int32)


def k_means(points: tf.Tensor, codes: tf.Tensor, *, steps: int) -> tf.Tensor:
    """Lloyd's iterations: each code becomes the mean of its points; one without points stays. Returns `[C, d]`.

    Args:
      points: `[B, d]` float32.
      codes: `[C, d]` float32, the initial codes.
      steps: Number of iterations.
    """
    number = codes.shape[0]

    def iteration(step: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        nearest = nearest_codes(points, codes)
        sums = tf.math.unsorted_segment_sum(points, nearest, number)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(points[:, :1]), nearest, number)
        return step + 1, tf.where(counts > 0.0, tf.math.divide_no_nan(sums, counts), codes)

    _, codes = tf.while_loop(lambda step, _: step < steps, iteration, (tf.constant(0), codes))
    return codes


def random_rows(batch: tf.Tensor, *, number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws row numbers of a batch, `[number]` int32, distinct while there are enough rows.

    Args:
      batch: Number of rows B, a scalar above 0.
      number: How many are drawn.
      seed: `[2]` int32; equal seeds draw equal rows.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(batch), seed)
    return tf.gather(order, tf.range(number) % batch)
