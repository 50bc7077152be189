"""Values that are often zero and otherwise spread over magnitudes: a zero-inflated log-normal ([Tencent] §2).

After Wang, Liu and Miao 2019, "A Deep Probabilistic Model for Customer Lifetime Value Prediction". A value y is 0 with
probability 1 - p; otherwise `log y` is normal with mean mu and standard deviation s. All computations are in float32.
"""

from __future__ import annotations

import math
from typing import Final

import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy, observed_weights

LEAST_SCALE: Final = 0.01
"""Added to every standard deviation: if all positive labels are equal, the density has no upper bound."""
_LARGEST_EXPONENT: Final = 80.0


def lognormal_scale(raw: tf.Tensor) -> tf.Tensor:
    """`s = 0.01 + log(1 + exp(raw))`; Wang et al. clip at 3e-4 instead, which stops the gradient."""
    return LEAST_SCALE + tf.math.softplus(tf.cast(raw, tf.float32))


def ziln_loss(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    location: tf.Tensor,
    scale: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Mean negative log likelihood over observed labels (Wang et al. 2019).

    `BCE(1[y > 0], f) + 1[y > 0] (log y + log s + log(2 pi) / 2 + ((log y - mu) / s)^2 / 2)`. A label of 0 trains
    only p, and one that was not observed trains nothing.

    Args:
      labels: `[B]`, or `[B, V]` for several tasks at once; NaN where not observed; below 0 counts as 0.
      logits: f, the logit of p, in the shape of the labels.
      location: mu, in the same shape.
      scale: s, in the same shape; positive.
      weights: `[B]`, or in the shape of the labels; non-negative; ones if `None`, and where NaN.

    Returns:
      A scalar, or `[V]`; 0 where nothing was observed.
    """
    seen = tf.logical_not(tf.math.is_nan(labels))
    positive = tf.logical_and(seen, labels > 0)
    is_positive = tf.where(seen, tf.cast(positive, tf.float32), labels)
    entropy = binary_cross_entropy(labels=is_positive, logits=logits, weights=weights)
    log_y = tf.math.log(tf.where(positive, labels, tf.ones_like(labels)))
    z = (log_y - tf.cast(location, tf.float32)) / scale
    surprise = log_y + tf.math.log(scale) + 0.5 * math.log(2 * math.pi) + 0.5 * tf.square(z)
    weight = observed_weights(labels, weights)
    of_positives = tf.where(positive, weight * surprise, tf.zeros_like(surprise))
    return entropy + tf.math.divide_no_nan(tf.reduce_sum(of_positives, axis=0), tf.reduce_sum(weight, axis=0))


def ziln_mean(*, logits: tf.Tensor, location: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`p exp(mu + s^2 / 2)`; the exponent is cut at 80, near the largest of float32. All of one shape."""
    exponent = tf.cast(location, tf.float32) + 0.5 * tf.square(scale)
    return tf.sigmoid(tf.cast(logits, tf.float32)) * tf.exp(tf.minimum(exponent, _LARGEST_EXPONENT))


def ziln_log_mean(*, logits: tf.Tensor, location: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`log(p exp(mu + s^2 / 2)) = log sigma(f) + mu + s^2 / 2`, which neither over- nor underflows.

    All of one shape, in float32.
    """
    return tf.math.log_sigmoid(tf.cast(logits, tf.float32)) + tf.cast(location, tf.float32) + 0.5 * tf.square(scale)


def ziln_quantile(quantile: float, *, logits: tf.Tensor, location: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The quantile of y: 0 up to 1 - p, then `exp(mu + s Phi^-1(1 - (1 - tau) / p))`.

    Args:
      quantile: tau, between 0 and 1.
      logits: The logit of p.
      location: mu, of the same shape.
      scale: s, of the same shape.
    """
    p = tf.sigmoid(tf.cast(logits, tf.float32))
    among_positives = 1.0 - (1.0 - quantile) / tf.maximum(p, 1e-30)
    is_zero = among_positives <= 0
    # The upper bound keeps the quantile finite where tau rounds to 1.
    inside = tf.clip_by_value(tf.where(is_zero, 0.5 * tf.ones_like(p), among_positives), 1e-30, 1.0 - 6e-8)
    exponent = tf.cast(location, tf.float32) + scale * tf.math.ndtri(inside)
    return tf.where(is_zero, tf.zeros_like(p), tf.exp(tf.minimum(exponent, _LARGEST_EXPONENT)))
