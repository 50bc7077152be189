"""Weights against showing the same ad again and again ([Tencent] §6.2)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.models.objectives.losses import observed_weights
from fullrank.models.options import Recency


def repetition_weights(
    *,
    count: tf.Tensor,
    gap_days: tf.Tensor,
    alpha: float = 0.5,
    tau_days: float = 1.0,
    recency: Recency = "decay",
    include_current: bool = True,
) -> tf.Tensor:
    """`w_rep = max(1, alpha w_count + (1 - alpha) w_recency)`, and 1 on a first exposure.

    * w_count is the time-decayed number of exposures of the ad to the user. "Total" is read as including the present
      one, which has not decayed: a first repetition then weighs more than 1. `include_current=False` counts only
      earlier ones.
    * w_recency, as printed, is the gap in days since the last exposure, and weighs *older* repeats more. The default
      is `exp(-gap / tau)`; `recency="gap"` is the printed form.
    * max(1, .) ensures w_rep >= 1, as the paper states in its text, but not in its formula.

    Args:
      count: `[B]`, decayed number of earlier exposures, 0 or NaN for a first one; `data.exposure_history` computes it.
      gap_days: `[B]`, days since the last one; ignored where `count` is 0; no recency where NaN.
      alpha: In [0, 1].
      tau_days: Days after which recency has fallen to 1/e.
      recency: `decay` or `gap`.
      include_current: Whether the present exposure counts.

    Returns:
      `[B]` float32, without gradient.

    Raises:
      ValueError: If an argument is out of range.
    """
    if not 0.0 <= alpha <= 1.0 or not tau_days > 0.0 or recency not in ("decay", "gap"):
        raise ValueError(
            "Repetition weights need alpha in [0, 1], tau_days > 0 and recency 'decay' or 'gap'. "
            f"Received: {alpha}, {tau_days}, {recency!r}."
        )
    count = tf.cast(count, tf.float32)
    repeated = count > 0.0
    known = repeated & tf.math.is_finite(tf.cast(gap_days, tf.float32))
    gap = tf.where(known, tf.cast(gap_days, tf.float32), 0.0)
    recent = tf.where(known, tf.exp(-gap / tau_days) if recency == "decay" else gap, 0.0)
    weight = alpha * (count + float(include_current)) + (1.0 - alpha) * recent
    return tf.stop_gradient(tf.where(repeated, tf.maximum(weight, 1.0), 1.0))


def exposure_weights(*, labels: tf.Tensor, repetition: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Sample weights: w_rep on negatives, `w_debias = sum_i (1 - y_i) w_rep_i / sum_i (1 - y_i)` on positives.

    So the sums of negatives and of positives grow by the same factor, and the weighted share of positives is the
    unweighted one. Sums are taken over the batch, per task; with `weights`, they and the share are weighted.

    Args:
      labels: `[B]`, or `[B, T]` for several tasks at once; above 1/2 is positive; NaN where not observed.
      repetition: `[B]`, w_rep.
      weights: `[B]`, the examples' own non-negative weights; ones if `None`, and where NaN.

    Returns:
      Float32 in the labels' shape: the given weights times w_rep or w_debias; w_debias is 1 without negatives.
    """
    own = observed_weights(labels, weights)
    positive = labels > 0.5
    negative = tf.where(positive, 0.0, own)
    repeated = repetition if labels.shape.rank == 1 else repetition[:, tf.newaxis]
    repeated = tf.where(own > 0.0, repeated, 1.0)  # NaN is allowed where nothing was observed
    total = tf.reduce_sum(negative, axis=0)
    debias = tf.where(total > 0.0, tf.math.divide_no_nan(tf.reduce_sum(negative * repeated, axis=0), total), 1.0)
    return tf.stop_gradient(own * tf.where(positive, debias, repeated))
