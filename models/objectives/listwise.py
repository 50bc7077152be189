"""Ranking losses over lists: the softmax within a key, and JRC, which ranks and stays calibrated ([Tencent] §6.1)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.models.objectives.pairs import key_numbers, observed, weighted_mean


def listwise_softmax_loss(
    *, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None, keys: tf.Tensor | None = None
) -> tf.Tensor:
    """`mean over positives i of -log(exp z_i / sum_j exp z_j)`, j over the examples of i's key, i included.

    A weight acts as that many copies of the example, in the mean and in the sum. Keys of one class are left out.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`, in any float dtype; the loss is computed in float32.
      weights: `[B]`, non-negative; ones if `None`.
      keys: `[B]` integers or strings; -1 and the empty string are not keys, and each such row is its own list; `None`
        makes the whole batch one list.

    Returns:
      A scalar; 0, with gradient 0, if no key has both classes.
    """
    rows = observed(labels=labels, logits=logits, weights=weights)
    lists = _lists(keys, rows.labels)
    positive = tf.where(rows.labels > 0.5, rows.weights, 0.0)
    negatives = tf.math.unsorted_segment_sum(rows.weights - positive, lists, tf.size(lists))
    counted = tf.where(tf.gather(negatives, lists) > 0.0, positive, 0.0)
    surprise = _log_sum_exp(rows.logits, rows.weights, lists) - rows.logits
    return weighted_mean(surprise, counted)


def joint_ranking_and_calibration(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    calibration_weight: float,
    weights: tf.Tensor | None = None,
    keys: tf.Tensor | None = None,
) -> tf.Tensor:
    """JRC: `mean_i [-a log p(y_i | x_i) - (1 - a) log p(x_i | y_i, key)]` (Sheng et al. 2023), a = calibration weight.

    With two logits f_0, f_1 per example, `p(y | x) = exp f_y / (exp f_0 + exp f_1)` and `p(x_i | y, key) =
    exp f_y(x_i) / sum_j exp f_y(x_j)`, j over the key's examples of either label. So f_1 - f_0 is the logit to
    predict with, and the levels of f_0 and f_1, which it leaves free, carry the order within the key.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B, 2]`: f_0, f_1, in any float dtype; the loss is computed in float32.
      calibration_weight: a, in [0, 1].
      weights: `[B]`, non-negative; ones if `None`. A weight acts as that many copies.
      keys: `[B]` integers or strings; -1 and the empty string are not keys and contrast with nothing; `None` contrasts
        with the whole batch.

    Returns:
      A scalar; 0, with gradient 0, if nothing was observed.

    Raises:
      ValueError: If a is not in [0, 1], or logits are not `[B, 2]`.
    """
    if not 0.0 <= calibration_weight <= 1.0:
        raise ValueError(f"calibration_weight must be in [0, 1]. Received: {calibration_weight}.")
    if logits.shape.rank != 2 or logits.shape[1] != 2:
        raise ValueError(f"JRC needs two logits per example, [B, 2]. Received: {logits.shape}.")
    rows = observed(labels=labels, logits=logits, weights=weights)
    lists = _lists(keys, rows.labels)
    positive = rows.labels > 0.5
    own = tf.where(positive, rows.logits[:, 1], rows.logits[:, 0])
    other = tf.where(positive, rows.logits[:, 0], rows.logits[:, 1])
    negative_list, positive_list = (_log_sum_exp(rows.logits[:, y], rows.weights, lists) for y in (0, 1))
    calibration = tf.nn.softplus(other - own)
    ranking = tf.where(positive, positive_list, negative_list) - own
    return weighted_mean(calibration_weight * calibration + (1.0 - calibration_weight) * ranking, rows.weights)


def _lists(keys: tf.Tensor | None, labels: tf.Tensor) -> tf.Tensor:
    """The number of each example's list, `[B]`."""
    return tf.zeros_like(labels, tf.int32) if keys is None else key_numbers(keys)


def _log_sum_exp(logits: tf.Tensor, weights: tf.Tensor, lists: tf.Tensor) -> tf.Tensor:
    """`log sum_j w_j exp z_j` over the list of each example, `[B]`; 0 where the list weighs nothing."""
    number = tf.size(lists)
    used = weights > 0.0
    lowest = tf.fill(tf.shape(logits), logits.dtype.min)
    top = tf.math.unsorted_segment_max(tf.where(used, tf.stop_gradient(logits), lowest), lists, number)
    top = tf.where(top > logits.dtype.min, top, 0.0)
    above = tf.where(used, logits - tf.gather(top, lists), 0.0)
    total = tf.math.unsorted_segment_sum(weights * tf.exp(above), lists, number)
    known = total > 0.0
    sums = tf.where(known, top + tf.math.log(tf.where(known, total, 1.0)), 0.0)
    return tf.gather(sums, lists)
