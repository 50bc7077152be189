"""Losses of clicks whose conversions come late (for [Tencent] §6.3), as functions of labels and logits.

A stream shows a click as it is when it is released, and once more, as a positive, if a conversion comes after that. All
losses here are means over the B rows of a batch, each times the example's own weight. Importance weights are constants:
no gradient passes through them.

* FNW, FNC: Ktena et al. 2019, "Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR
  prediction". Nothing waits: every click is first a negative.
* ES-DFM: Yang et al. 2021, "Capturing Delayed Feedback in Conversion Rate Prediction via Elapsed-Time Sampling". A
  click waits, and is released with the label that it has by then.
* DFM: Chapelle 2014, "Modeling Delayed Feedback in Display Advertising". A delay is exponential.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def weighted_cross_entropy(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """`1/B sum_i w_i (softplus(f_i) - y_i f_i)`: the loss of `naive` and `oracle`, with the labels that they know.

    It is divided by the number of rows and not by the sum of weights, because importance weights have mean 1 only on
    average over batches.

    Args:
      labels: `[B]`, y, 0 or 1.
      logits: `[B]`, f.
      weights: `[B]`; ones if `None`.

    Returns:
      A scalar; 0 for no rows.
    """
    y, f = (tf.cast(values, tf.float32) for values in (labels, logits))
    return _mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=f), weights)


def fnw_weights(*, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Fake-negative weights: `1 + p` on positives, `(1 - p)(1 + p)` on negatives, p = sigma(f), without gradient.

    Every click enters as a negative and a converted one again as a positive, so the share `b = p / (1 + p)` of the rows
    is positive. Ktena et al. weight by truth over stream: `p / b` and `(1 - p) / (1 - b)`.

    Args:
      labels: `[B]`, 1 on the rows that conversions bring.
      logits: `[B]`, f.
    """
    p = tf.stop_gradient(tf.sigmoid(tf.cast(logits, tf.float32)))
    return (1.0 + p) * tf.where(labels > 0.5, tf.ones_like(p), 1.0 - p)


def fnw_loss(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Fake negative weighted (Ktena et al. 2019): cross entropy with `fnw_weights`; arguments as there."""
    importance = fnw_weights(labels=labels, logits=logits)
    return weighted_cross_entropy(labels=labels, logits=logits, weights=_times(importance, weights))


def fnc_logits(logits: tf.Tensor) -> tf.Tensor:
    """The logit of `b = p / (1 + p)`, which is `log p = log sigma(f)`: the share of positives in a stream of FNC."""
    return tf.math.log_sigmoid(tf.cast(logits, tf.float32))


def fnc_loss(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Fake negative calibration (Ktena et al. 2019): cross entropy of the stream's labels and `b = p / (1 + p)`.

    The paper fits b and calibrates what it serves, `p = b / (1 - b)`, which exceeds 1 where b exceeds 1/2. Here the
    model has the logit of p, and b follows from it: the same minimum, p stays a probability, and the model that is
    exported and evaluated is the one that is trained.

    Args:
      labels: `[B]`, 1 on the rows that conversions bring.
      logits: `[B]`, f, the logit of p.
      weights: `[B]`; ones if `None`.
    """
    return weighted_cross_entropy(labels=labels, logits=fnc_logits(logits), weights=weights)


def es_dfm_weights(*, labels: tf.Tensor, delayed: tf.Tensor, real_negative: tf.Tensor) -> tf.Tensor:
    """`1 + p_dp` on positives, `(1 + p_dp) p_rn` on negatives, without gradient (Yang et al. 2021).

    A stream that waits e holds each click once and a delayed positive twice, so a click counts `1 + p_dp` times in it,
    and only the share p_rn of its negatives stay negative. With e = 0, `p_dp = p` and `p_rn = 1 - p`: `fnw_weights`.

    Args:
      labels: `[B]`, 1 on positives in time and on delayed ones.
      delayed: `[B]`, p_dp: probability that a click converts after e.
      real_negative: `[B]`, p_rn: probability that a click without a conversion by e never has one.
    """
    twice = 1.0 + tf.stop_gradient(tf.cast(delayed, tf.float32))
    return twice * tf.where(labels > 0.5, tf.ones_like(twice), tf.stop_gradient(tf.cast(real_negative, tf.float32)))


def es_dfm_loss(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    delayed: tf.Tensor,
    real_negative: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cross entropy with `es_dfm_weights` (Yang et al. 2021); arguments as there."""
    importance = es_dfm_weights(labels=labels, delayed=delayed, real_negative=real_negative)
    return weighted_cross_entropy(labels=labels, logits=logits, weights=_times(importance, weights))


def es_dfm_targets(*, converted: tf.Tensor, in_time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The targets of the two classifiers of ES-DFM for a click whose labels are complete: `[B]` and `[B]`.

    * delayed positive: 1 if it converted after its wait, otherwise 0;
    * real negative: 1 if it never converted, 0 if after its wait; NaN, not learned, if in time.

    Args:
      converted: `[B]` bool, whether it ever converted.
      in_time: `[B]` bool, whether that was within its wait.
    """
    delayed = tf.cast(converted & ~in_time, tf.float32)
    return delayed, tf.where(in_time, float("nan"), 1.0 - delayed)


def silent_log_probability(*, logits: tf.Tensor, log_rate: tf.Tensor, elapsed: tf.Tensor) -> tf.Tensor:
    """`log(1 - p + p exp(-lambda e))`, `[B]`: no conversion after e (Chapelle 2014, the term of unlabelled clicks).

    Computed as `log_sigmoid(-f) + softplus(f - lambda e)`, which loses no digits for p near 0 or 1.

    Args:
      logits: `[B]`, f, the logit of p.
      log_rate: `[B]`, log lambda, per unit of time.
      elapsed: `[B]`, e, at least 0.
    """
    f, e = (tf.cast(values, tf.float32) for values in (logits, elapsed))
    decay = tf.exp(tf.cast(log_rate, tf.float32)) * e
    return tf.math.log_sigmoid(-f) + tf.nn.softplus(f - decay)


def dfm_loss(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    log_rate: tf.Tensor,
    elapsed: tf.Tensor,
    seen_silent: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """The delayed feedback model (Chapelle 2014), over a stream that shows a click up to twice.

        positive:  -(log p + log lambda - lambda d) + log(1 - p + p exp(-lambda s))
        negative:  -log(1 - p + p exp(-lambda e)) + log(1 - p + p exp(-lambda s))

    The paper sees each click once, and has no s. A stream shows a click when it is released, and once more when its
    conversion comes or can no longer come. With the full likelihood both times, it would count twice; the second time
    adds the likelihood *given* that the click was silent until s, so that both together are the paper's likelihood. The
    second time must not be limited to conversions: p would be too high. A click that is released at once adds nothing,
    since log 1 = 0.

    Args:
      labels: `[B]`, y.
      logits: `[B]`, f, the logit of p.
      log_rate: `[B]`, log lambda, from a separate head.
      elapsed: `[B]`, d of positives and e of negatives, in the unit whose inverse lambda has.
      seen_silent: `[B]`, s; 0 or NaN where the click was not trained on before.
      weights: `[B]`; ones if `None`.

    Returns:
      A scalar.
    """
    f, a, d = (tf.cast(values, tf.float32) for values in (logits, log_rate, elapsed))
    s = tf.cast(seen_silent, tf.float32)
    s = tf.where(tf.math.is_nan(s), 0.0, s)
    before = silent_log_probability(logits=f, log_rate=a, elapsed=s)
    converted = tf.math.log_sigmoid(f) + a - tf.exp(a) * d
    silent = silent_log_probability(logits=f, log_rate=a, elapsed=d)
    return _mean(before - tf.where(labels > 0.5, converted, silent), weights)


def _times(importance: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    return importance if weights is None else importance * tf.cast(weights, tf.float32)


def _mean(losses: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    rows: Any = tf.cast(tf.size(losses), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(losses if weights is None else _times(losses, weights)), rows)
