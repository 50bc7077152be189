"""Class imbalance ([Tencent] §6.1): the gradient of a loss on the logits of each class, and reweighted losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.models.objectives.pairs import observed, weighted_mean


def focal_loss(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    weights: tf.Tensor | None = None,
    focus: float = 2.0,
    balance: float | None = None,
) -> tf.Tensor:
    """`mean of -a_y (1 - p_y)^g log p_y` (Lin et al. 2017, Eq. 5), p_y the probability given to the label.

    It takes weight from examples that are already right, mostly negatives, and so biases the prediction upwards.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`, in any float dtype; the loss is computed in float32.
      weights: `[B]`, non-negative; ones if `None`.
      focus: g; 0 gives cross entropy.
      balance: a_1, with a_0 = 1 - a_1; `None` for a = 1 on both, as in Lin et al. 2017, Eq. 4.

    Returns:
      A scalar; 0 if nothing was observed.
    """
    rows = observed(labels=labels, logits=logits, weights=weights)
    positive = rows.labels > 0.5
    wrong = tf.where(positive, -rows.logits, rows.logits)
    losses = tf.exp(-focus * tf.nn.softplus(-wrong)) * tf.nn.softplus(wrong)
    if balance is not None:
        losses *= tf.where(positive, balance, 1.0 - balance)
    return weighted_mean(losses, rows.weights)


def class_balanced_cross_entropy(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    positives: float,
    negatives: float,
    weights: tf.Tensor | None = None,
    beta: float = 0.9999,
) -> tf.Tensor:
    """Cross entropy with class y weighted by `(1 - beta) / (1 - beta^n_y)` (Cui et al. 2019, Eq. 3 and 4).

    n_y is the number of training examples of the class; `(1 - beta^n) / (1 - beta)` is their "effective" number, from
    1 (beta = 0: no weighting) to n (beta -> 1: both classes have the same total weight). The weighted *mean* is taken,
    so only the ratio of the two weights matters.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`.
      positives: n_1 of the training set, > 0.
      negatives: n_0 of the training set, > 0.
      weights: `[B]`, non-negative; ones if `None`.
      beta: In [0, 1).

    Raises:
      ValueError: If a number of examples or beta is out of range.
    """
    of_positive, of_negative = class_weights(positives=positives, negatives=negatives, beta=beta)
    rows = observed(labels=labels, logits=logits, weights=weights)
    balanced = rows.weights * tf.where(rows.labels > 0.5, of_positive, of_negative)
    return binary_cross_entropy(labels=rows.labels, logits=rows.logits, weights=balanced)


def class_weights(*, positives: float, negatives: float, beta: float) -> tuple[float, float]:
    """The weights of a positive and a negative in `class_balanced_cross_entropy`.

    Raises:
      ValueError: If a number of examples or beta is out of range.
    """
    if not (positives > 0 and negatives > 0 and 0.0 <= beta < 1.0):
        raise ValueError(
            "Class-balanced cross entropy needs examples of both classes and beta in [0, 1). "
            f"Received: positives={positives}, negatives={negatives}, beta={beta}."
        )
    of_positive, of_negative = (float((1.0 - beta) / (1.0 - beta**n)) for n in (positives, negatives))
    return of_positive, of_negative


class LogitGradients(NamedTuple):
    """Mean absolute gradient on the logits of negatives and of positives, times the number of observed examples."""

    negative: tf.Tensor
    positive: tf.Tensor


def logit_gradients(*, labels: tf.Tensor, logits: tf.Tensor, loss: Callable[[tf.Tensor], tf.Tensor]) -> LogitGradients:
    """Mean over a class of `n |dL/dz_i|`, where n is the number of observed examples.

    The factor n undoes the mean over the batch: cross entropy then has exactly `mean p_i` over negatives, the base rate
    once the model has learned it, which is the gradient that vanishes. A ranking loss has up to n / N.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`.
      loss: Logits `[B]` -> scalar.

    Returns:
      Two scalars; 0 for a class without examples.
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
