"""How much a loss still moves the logits of each class ([Tencent] §6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from fullrank.models.objectives.observed import weighted_mean


class LogitGradients(NamedTuple):
    """Mean absolute gradient on the logits of negatives and of positives, times the number of observed examples."""

    negative: tf.Tensor
    positive: tf.Tensor


def logit_gradients(*, labels: tf.Tensor, logits: tf.Tensor, loss: Callable[[tf.Tensor], tf.Tensor]) -> LogitGradients:
    """Mean over a class of `n |dL/dz_i|`, n the number of observed examples.

    Times n, because a mean over a batch divides by it: cross entropy then has exactly `mean p_i` over negatives, the
    base rate once the model has learned it, which is the gradient that vanishes. A ranking loss has up to n / N.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`.
      loss: Logits `[B]` -> scalar.

    Returns:
      Two scalars; 0 for a class that is not there.
    """
    labels = tf.cast(labels, tf.float32)
    logits = tf.cast(tf.convert_to_tensor(logits), tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(logits)
        value = loss(logits)
    gradient = tf.abs(tape.gradient(value, logits, unconnected_gradients=tf.UnconnectedGradients.ZERO))
    observed = tf.math.count_nonzero(tf.logical_not(tf.math.is_nan(labels)), dtype=tf.float32)
    positive, negative = labels > 0.5, labels <= 0.5
    means = (weighted_mean(gradient, tf.cast(which, tf.float32)) for which in (negative, positive))
    return LogitGradients(*(observed * mean for mean in means))
