"""The evidence lower bound, which trains a Gaussian-process head ([Tencent] Appendix A.1)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers.uncertainty.gauss_hermite import bernoulli_log_likelihood
from fullrank.models.objectives.losses import observed_weights


def negative_elbo(
    *,
    labels: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    divergence: tf.Tensor,
    examples: float | tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """`-sum_i w_i E log Ber(y_i; sigma(f_i)) / sum_i w_i + KL / N`, in float32.

    The likelihood is the mean over the batch's observed labels, so that its gradient does not depend on the batch size;
    the divergence counts once per N of them. A batch without a label counts for neither: otherwise the divergence would
    weigh more than the labels. With variance 0 and no divergence it is the cross entropy.

    Args:
      labels: `[B]`, or `[B, T]` for several tasks at once; 0 or 1; NaN where not observed.
      mean: Mean of the logit, in the shape of the labels.
      variance: Its variance, in the same shape.
      divergence: `KL(q(u) || p(u))`, a scalar or `[T]`.
      examples: N, the number of training labels that were observed, a scalar or `[T]`; positive.
      weights: `[B]`, or in the shape of the labels; non-negative; ones if `None`.

    Returns:
      A scalar, or `[T]`; 0, with gradient 0, where nothing was observed.
    """
    observed = tf.logical_not(tf.math.is_nan(labels))
    safe = tf.where(observed, labels, tf.zeros_like(labels))
    losses = -bernoulli_log_likelihood(labels=safe, mean=mean, variance=variance)
    weight = observed_weights(labels, weights)
    total = tf.reduce_sum(weight, axis=0)
    likelihood = tf.math.divide_no_nan(tf.reduce_sum(weight * losses, axis=0), total)
    share = tf.cast(divergence, tf.float32) / tf.cast(examples, tf.float32)
    return likelihood + tf.where(total > 0.0, share, tf.zeros_like(share))
