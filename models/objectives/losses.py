"""Losses as pure functions of labels and logits; a label that was not observed (NaN) has no weight."""

from __future__ import annotations

import tensorflow as tf


def binary_cross_entropy(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """`sum_i w_i BCE(y_i, f_i) / sum_i w_i` over observed labels ([Tencent] §6; [Meta] Eq. 4), in float32.

    `BCE(y, f) = -y log sigma(f) - (1 - y) log(1 - sigma(f)) = softplus(f) - y f`.

    Args:
      labels: `[B]`, or `[B, T]` for several tasks at once; 0 or 1; NaN where not observed.
      logits: In the shape of the labels.
      weights: `[B]`, or in the shape of the labels; non-negative; ones if `None`.

    Returns:
      A scalar, or `[T]`; 0 where nothing was observed.
    """
    observed = tf.logical_not(tf.math.is_nan(labels))
    safe = tf.where(observed, labels, tf.zeros_like(labels))
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=safe, logits=tf.cast(logits, tf.float32))
    weight = observed_weights(labels, weights)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * losses, axis=0), tf.reduce_sum(weight, axis=0))


def squared_error(*, labels: tf.Tensor, predictions: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """`sum_i w_i (y_i - f_i)^2 / sum_i w_i` over observed labels, in float32.

    Args:
      labels: `[B]`, or `[B, V]` for several tasks at once; NaN where not observed.
      predictions: In the shape of the labels.
      weights: `[B]`, or in the shape of the labels; non-negative; ones if `None`.

    Returns:
      A scalar, or `[V]`; 0 where nothing was observed.
    """
    observed = tf.logical_not(tf.math.is_nan(labels))
    safe = tf.where(observed, labels, tf.zeros_like(labels))
    weight = observed_weights(labels, weights)
    errors = tf.square(tf.cast(predictions, tf.float32) - safe)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * errors, axis=0), tf.reduce_sum(weight, axis=0))


def observed_share(labels: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """`n / B`, where n of the B examples have a label and a weight above 0: a scalar, or `[T]`.

    Multiplied by it, a mean over observed labels becomes their sum over B.

    Args:
      labels: `[B]`, or `[B, T]`; NaN where not observed.
      weights: `[B]`, or in the shape of the labels; ones if `None`.
    """
    return tf.reduce_mean(tf.cast(observed_weights(labels, weights) > 0.0, tf.float32), axis=0)


def observed_weights(labels: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """The weight of each label, in the labels' shape: 0 where not observed, 1 where the example's own is missing."""
    weight = tf.cast(tf.logical_not(tf.math.is_nan(labels)), tf.float32)
    if weights is None:
        return weight
    known = tf.where(tf.math.is_nan(weights), tf.ones_like(weights), weights)
    return weight * (known if labels.shape.rank == weights.shape.rank else known[:, tf.newaxis])
