"""Mean and variance of a logit from several predictions: the plain baselines of a Gaussian process."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers import GaussianLogits


def ensemble_logits(predictions: tf.Tensor) -> GaussianLogits:
    """Mean and unbiased variance over K predictions of the same logits.

    The predictions come from models trained from different seeds (a deep ensemble), or from one model called K times
    with `training=True`, so that dropout draws anew (Monte-Carlo dropout).

    Args:
      predictions: `[K, ...]` logits, K at least 2.

    Raises:
      ValueError: If K is known to be below 2.
    """
    number = predictions.shape[0]
    if number is not None and number < 2:
        raise ValueError(f"A variance needs at least 2 predictions. Received: {number}.")
    logits = tf.cast(predictions, tf.float32)
    mean = tf.reduce_mean(logits, axis=0)
    squares = tf.reduce_sum(tf.square(logits - mean), axis=0)
    return GaussianLogits(mean=mean, variance=squares / tf.cast(tf.shape(logits)[0] - 1, tf.float32))
