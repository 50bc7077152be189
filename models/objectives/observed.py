"""Which examples of a batch count, and how much."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from fullrank.data.columns import MISSING_BYTES, MISSING_INT


class Observed(NamedTuple):
    """Labels without gaps, logits in float32 and weights that are zero where nothing was observed; each `[B]`."""

    labels: tf.Tensor
    logits: tf.Tensor
    weights: tf.Tensor


def observed(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> Observed:
    """Takes unobserved examples out of a loss without changing any shape.

    Their label and logit become 0, so that nothing they hold, NaN included, reaches a sum or a gradient.

    Args:
      labels: `[B]`, NaN where not observed.
      logits: `[B]` or `[B, n]`.
      weights: `[B]`, non-negative; ones if `None`, and where NaN.
    """
    labels = tf.cast(labels, tf.float32)
    seen = tf.logical_not(tf.math.is_nan(labels))
    weight = tf.cast(seen, tf.float32)
    if weights is not None:
        weights = tf.cast(weights, tf.float32)
        weight *= tf.where(tf.math.is_nan(weights), tf.ones_like(weights), weights)
    logits = tf.cast(logits, tf.float32)
    wide = seen if logits.shape.rank == 1 else seen[:, tf.newaxis]
    return Observed(
        tf.where(seen, labels, tf.zeros_like(labels)), tf.where(wide, logits, tf.zeros_like(logits)), weight
    )


def key_numbers(keys: tf.Tensor) -> tf.Tensor:
    """Numbers the keys of a batch, `[B]` below B; each row without a key (-1 or empty) has a number of its own.

    Rows whose user is not known are not rows of one user: no two of them make a pair or share a list.

    Args:
      keys: `[B]` integers or strings.
    """
    numbers = tf.unique(keys).idx
    missing = tf.equal(keys, tf.constant(MISSING_BYTES if keys.dtype == tf.string else MISSING_INT, keys.dtype))
    rows = tf.size(numbers)
    return tf.unique(tf.where(missing, rows + tf.range(rows), numbers)).idx


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`sum w l / sum w` of equal or broadcastable shapes; 0, with gradient 0, where the weights sum to 0."""
    total = tf.reduce_sum(weights * tf.ones_like(losses))
    return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), total)
