"""Pairs of a better and a worse example of a batch: all of them, or as many as a cap allows.

Only observed examples count, each with its weight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT


class Observed(NamedTuple):
    """Labels without gaps, logits in float32 and weights that are zero where nothing was observed; each `[B]`."""

    labels: tf.Tensor
    logits: tf.Tensor
    weights: tf.Tensor


def observed(*, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> Observed:
    """Removes unobserved examples from a loss without changing any shape.

    Their label and logit become 0, so that none of their values, such as NaN, reaches a sum or a gradient.

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
    """Numbers the keys of a batch, `[B]` below B; each row without a key (-1 or empty) has its own number.

    Rows with an unknown user are not rows of one user: no two of them make a pair or share a list.

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


_NEGATIVE, _POSITIVE, _LEFT_OUT = 0, 1, 2


class Pairs(NamedTuple):
    """Logits of both members and the product of their weights.

    Shapes broadcast to one entry per pair: `[P, 1]`, `[1, N]` and `[P, N]`, or three times `[T]`.
    """

    positive: tf.Tensor
    negative: tf.Tensor
    weight: tf.Tensor


def pairs_in_batch(rows: Observed, *, max_pairs: int, seed: tf.Tensor | None) -> Pairs:
    """All P x N pairs; beyond `max_pairs`, those of random subsets of the positives and of the negatives.

    The smaller class is kept completely if possible: it is more informative. Each pair is equally likely to be kept.

    Args:
      rows: Rows of which those with a positive weight count; a label above 1/2 makes a positive.
      max_pairs: Largest number of pairs.
      seed: Two integers, different at each step; `None` draws them from TensorFlow's global generator.
    """
    part = tf.where(rows.labels > 0.5, _POSITIVE, _NEGATIVE)
    part = tf.where(rows.weights > 0.0, part, _LEFT_OUT)
    positives, negatives = (tf.math.count_nonzero(tf.equal(part, which)) for which in (_POSITIVE, _NEGATIVE))
    side = tf.constant(math.isqrt(max_pairs), tf.int64)
    kept_positives = tf.minimum(positives, tf.maximum(side, max_pairs // tf.maximum(negatives, 1)))
    kept_negatives = tf.minimum(negatives, tf.maximum(side, max_pairs // tf.maximum(positives, 1)))

    def drawn() -> tf.Tensor:
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(part)), _seed(seed))
        left_out = tf.zeros_like(part, tf.bool)
        for which, kept in ((_POSITIVE, kept_positives), (_NEGATIVE, kept_negatives)):
            shuffled = tf.equal(tf.gather(part, order), which)
            late = tf.logical_and(shuffled, tf.cumsum(tf.cast(shuffled, tf.int64)) > kept)
            left_out = tf.logical_or(left_out, late)
        left_out = tf.scatter_nd(order[:, tf.newaxis], tf.cast(left_out, tf.int32), tf.shape(part)) > 0
        return tf.where(left_out, _LEFT_OUT, part)

    part = tf.cond(positives * negatives > max_pairs, drawn, lambda: part)
    negative, positive, _ = tf.dynamic_partition(tf.stack([rows.logits, rows.weights], axis=1), part, 3)
    return Pairs(
        positive=positive[:, 0, tf.newaxis],
        negative=negative[tf.newaxis, :, 0],
        weight=positive[:, 1, tf.newaxis] * negative[tf.newaxis, :, 1],
    )


def pairs_in_key(rows: Observed, *, keys: tf.Tensor, max_pairs: int, seed: tf.Tensor | None) -> Pairs:
    """All pairs whose members share a key; beyond `max_pairs`, that many draws of them with replacement.

    Pairs are numbered, those of the first positive first, and a binary search finds the pair of a number, so that time
    and memory grow with the number of pairs and not with the square of the batch.

    Args:
      rows: As in `pairs_in_batch`.
      keys: `[B]` integers or strings: a user, a request. -1 and the empty string are not keys: their rows have no pair.
      max_pairs: Largest number of pairs.
      seed: As in `pairs_in_batch`.
    """
    keys = key_numbers(keys)
    number = tf.size(keys)
    used = rows.weights > 0.0
    is_positive = tf.logical_and(used, rows.labels > 0.5)
    is_negative = tf.logical_and(used, rows.labels <= 0.5)
    by_key = tf.argsort(tf.where(is_negative, keys, number), stable=True)
    negatives = tf.math.unsorted_segment_sum(tf.cast(is_negative, tf.int64), keys, number)
    start = tf.cumsum(negatives, exclusive=True)
    of_each = tf.where(is_positive, tf.gather(negatives, keys), 0)
    end = tf.cumsum(of_each)
    total = tf.reduce_sum(of_each)

    def drawn() -> tf.Tensor:
        return tf.random.stateless_uniform([max_pairs], _seed(seed), maxval=total, dtype=tf.int64)

    pair = tf.cond(total > max_pairs, drawn, lambda: tf.range(total))
    first = tf.searchsorted(end, pair, side="right")
    place = pair - tf.gather(end - of_each, first)
    second = tf.gather(by_key, tf.gather(start, tf.gather(keys, first)) + place)
    return Pairs(
        positive=tf.gather(rows.logits, first),
        negative=tf.gather(rows.logits, second),
        weight=tf.gather(rows.weights, first) * tf.gather(rows.weights, second),
    )


def pairs_by_value(rows: Observed, *, keys: tf.Tensor | None, max_pairs: int, seed: tf.Tensor | None) -> Pairs:
    """All pairs of a larger and a smaller label; beyond `max_pairs`, that many draws of them with replacement.

    Equal labels make no pair. Examples are sorted by key and label, so that the partners of an example are consecutive
    and precede it; pairs are numbered, and time and memory do not grow with the square of the batch.

    Args:
      rows: Rows of which those with a positive weight count; their labels are any numbers.
      keys: As in `pairs_in_key`; `None` pairs the whole batch.
      max_pairs: Largest number of pairs.
      seed: As in `pairs_in_batch`.

    Returns:
      `[T]` each; `positive` is the example of the larger label.
    """
    number = tf.size(rows.labels)
    lists = tf.zeros_like(rows.labels, tf.int32) if keys is None else key_numbers(keys)
    used = rows.weights > 0.0
    lists = tf.where(used, lists, number)  # rows without weight come last
    order = tf.argsort(rows.labels, stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(lists, order), stable=True))
    lists, labels = tf.gather(lists, order), tf.gather(rows.labels, order)
    logits, weights = tf.gather(rows.logits, order), tf.gather(rows.weights, order)
    first = tf.ones([tf.minimum(number, 1)], tf.bool)
    new_list = tf.concat([first, lists[1:] != lists[:-1]], axis=0)
    new_label = tf.logical_or(new_list, tf.concat([first, labels[1:] != labels[:-1]], axis=0))
    start = _run_starts(new_list)
    below = tf.where(weights > 0.0, _run_starts(new_label) - start, 0)
    end = tf.cumsum(below)
    total = tf.reduce_sum(below)

    def drawn() -> tf.Tensor:
        return tf.random.stateless_uniform([max_pairs], _seed(seed), maxval=total, dtype=tf.int64)

    pair = tf.cond(total > max_pairs, drawn, lambda: tf.range(total))
    larger = tf.searchsorted(end, pair, side="right")
    smaller = tf.gather(start, larger) + pair - tf.gather(end - below, larger)
    return Pairs(
        positive=tf.gather(logits, larger),
        negative=tf.gather(logits, smaller),
        weight=tf.gather(weights, larger) * tf.gather(weights, smaller),
    )


def _run_starts(is_new: tf.Tensor) -> tf.Tensor:
    """Where the run of each entry starts, `[B]` int64; `is_new` is true at the first entry of each run."""
    starts = tf.where(is_new)[:, 0]
    return tf.gather(starts, tf.cumsum(tf.cast(is_new, tf.int32)) - 1)


def _seed(seed: tf.Tensor | None) -> tf.Tensor:
    if seed is None:
        return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    return tf.convert_to_tensor(seed)
