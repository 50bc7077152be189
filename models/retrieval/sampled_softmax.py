"""The sampled softmax of a retrieval model: which ads of a batch a query is told from, and at what price."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from fullrank.layers.legacy_keras import keras, tfrs
from fullrank.models.objectives.pairs import key_numbers

_LEAST_SHARE: Final = 1e-6
"""At which TensorFlow Recommenders clips probabilities."""


class SampledSoftmax(keras.layers.Layer):
    """Cross entropy of the query's own ad among those of the batch, on `tfrs.tasks.Retrieval`.

    With query vectors u_i, ad vectors v_j and temperature T, ad i being the own ad of query i:

        s_ii = <u_i, v_i> / T        s_ij = <u_i, v_j> / T - log E_j
        loss = - sum_i w_i log(exp(s_ii) / sum_j exp(s_ij)) / sum_i w_i

    E_j is how often the batch is expected to hold ad j as a negative, so that the sum is an unbiased estimate of that
    over the catalogue (Bengio and Senecal 2008). The negatives are the ads of the other B - 1 positives and M drawn
    uniformly from the catalogue of N (mixed negatives, Yang et al. 2020): `E_j = n Q_j` with `n = B - 1 + M` and
    `Q_j = ((B - 1) q_j + M / N) / n`, q_j of `PositiveCounts`. Without the correction a popular ad is a negative as
    often as it is popular, and is learned to be worth less than it is.

    No positive of a query is its negative: `other_positives` says which ads of the batch those are. It is used in place
    of `remove_accidental_hits`, which knows of the query's own ad alone.

    Departures: Yi et al. 2019 correct the own ad, too, which is in the batch whatever its popularity: with its repeats
    left out that learns other scores than a softmax over the catalogue. TensorFlow Recommenders clips Q at 1e-6, which
    only matters to ads that are rarer than that.

    Call arguments:
      queries: `[B, D]`.
      ads: `[B + M, D]`, the query's own first.
      weights: `[B]`.
      others: `[B, B + M]` bool, further positives of each query, the place of its own left out.
      shares: Q, `[B + M]`; `None` for no correction.

    Returns:
      The loss, a scalar; 0 if no query has a weight. B is at least 1.

    Args:
      temperature: T.
      hard_negatives: Number of negatives of each query to keep, those of the highest s; `None` for all.
    """

    def __init__(self, *, temperature: float, hard_negatives: int | None = None, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self._task = {"temperature": temperature, "num_hard_negatives": hard_negatives}

    def call(
        self,
        queries: tf.Tensor,
        ads: tf.Tensor,
        *,
        weights: tf.Tensor,
        others: tf.Tensor,
        shares: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the loss."""
        number = tf.size(weights)
        raised = tf.zeros([number])
        if shares is not None:
            negatives = tf.cast(tf.maximum(tf.size(shares) - 1, 1), tf.float32)
            raised = tf.math.log(tf.clip_by_value(shares[:number], _LEAST_SHARE, 1.0)) + tf.math.log(negatives)
        task = tfrs.tasks.Retrieval(loss=_OwnAdRaised(raised), **self._task)
        summed = task(
            queries,
            ads,
            sample_weight=weights,
            candidate_sampling_probability=shares,
            compute_metrics=False,
            compute_batch_metrics=False,
            score_mask=tf.logical_not(others),
        )
        return tf.math.divide_no_nan(summed, tf.reduce_sum(weights))


class _OwnAdRaised(keras.losses.Loss):
    """Cross entropy in which the score of the own ad is raised: the task corrects all ads alike, `s - log Q`.

    Args:
      raised: By how much, `[B]`: log E takes its correction back, relative to that of the negatives.
    """

    def __init__(self, raised: tf.Tensor) -> None:
        super().__init__(reduction=keras.losses.Reduction.SUM)
        self._raised = raised

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each query, `[B]`."""
        logits = y_pred + y_true * self._raised[:, tf.newaxis]
        return tf.nn.softmax_cross_entropy_with_logits(labels=y_true, logits=logits)


def negative_shares(shares: tf.Tensor, *, positives: Any, drawn: int, catalogue: int) -> tf.Tensor:
    """`Q_j = ((B - 1) q_j + M / N) / (B - 1 + M)`, the share of ad j among the negatives of a query; q without any.

    Args:
      shares: q, share of each ad among positives, `[B + M]`.
      positives: B.
      drawn: M, ads drawn uniformly.
      catalogue: N.
    """
    others = tf.cast(positives, tf.float32) - 1.0
    mixed = tf.math.divide_no_nan(others * shares + drawn / catalogue, others + drawn)
    return tf.where(others + drawn > 0.0, mixed, shares)


def other_positives(users: tf.Tensor | None, ads: tf.Tensor, *, queries: Any = None) -> tf.Tensor:
    """Which ads of the batch are positives of a query beside its own, `[B, C]` bool.

    Ad c is one if any example of the batch has the user of query i and ad c; the place (i, i) is left out.

    Args:
      users: `[B]`, the user of each query, -1 or empty where it has none; `None` where no user is known. Of a query
        without a user only its own ad is known.
      ads: `[C]`, the ad of each query, then further ads.
      queries: B, where users are not known.
    """
    number = queries if users is None else tf.size(users)
    found = ads[:number, tf.newaxis] == ads
    if users is not None:
        numbers = key_numbers(users)
        same_user = tf.cast(numbers[:, tf.newaxis] == numbers, tf.float32)
        found = tf.matmul(same_user, tf.cast(found, tf.float32)) > 0.0
    return tf.logical_and(found, tf.logical_not(tf.eye(number, tf.size(ads), dtype=tf.bool)))
