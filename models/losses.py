"""Losses as pure functions of labels and logits; a label that was not observed (NaN) weighs nothing."""

from __future__ import annotations

import tensorflow as tf


def binary_cross_entropy(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """`sum_i w_i BCE(y_i, f_i) / sum_i w_i` over observed labels (Tencent §6), computed in float32 from logits.

    `BCE(y, f) = -y log sigma(f) - (1 - y) log(1 - sigma(f)) = softplus(f) - y f`.

    Args:
      labels: `[B]`, or `[B, T]` for several tasks at once; 0 or 1; NaN where not observed.
      logits: As many.
      weights: `[B]`, non-negative; ones if `None`.

    Returns:
      A scalar, or `[T]`; 0 where nothing was observed.
    """
    observed = tf.logical_not(tf.math.is_nan(labels))
    safe = tf.where(observed, labels, tf.zeros_like(labels))
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=safe, logits=tf.cast(logits, tf.float32))
    weight = tf.cast(observed, tf.float32)
    if weights is not None:
        known = tf.where(tf.math.is_nan(weights), tf.ones_like(weights), weights)
        weight *= known if labels.shape.rank == 1 else known[:, tf.newaxis]
    return tf.math.divide_no_nan(tf.reduce_sum(weight * losses, axis=0), tf.reduce_sum(weight, axis=0))
