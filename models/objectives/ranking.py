"""The ranking loss, under which negatives keep their gradients, and its sum with cross entropy ([Tencent] §6.1)."""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.models.objectives.pairs import observed, pairs_by_value, pairs_in_batch, pairs_in_key, weighted_mean
from fullrank.models.options import ObjectiveOptions

MAX_PAIRS: Final = ObjectiveOptions.max_pairs


def pairwise_loss(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    weights: tf.Tensor | None = None,
    keys: tf.Tensor | None = None,
    max_pairs: int = MAX_PAIRS,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """`mean over (i positive, j negative) of -log sigma(z_i - z_j) = softplus(z_j - z_i)`.

    With P positives and N negatives the gradient is `dL/dz_j = mean_i sigma(z_j - z_i) / N` for a negative, and
    `dL/dz_i = -mean_j sigma(z_j - z_i) / P` for a positive: a negative that scores like the positives gets 1 / (2 N),
    where cross entropy would give it about the base rate over B. Within keys it is RankNet (Burges et al. 2005) on
    binary labels, with the same weight for each pair.

    Args:
      labels: `[B]`; above 1/2 is positive; NaN where not observed.
      logits: `[B]`, in any float dtype; the loss is computed in float32.
      weights: `[B]`, non-negative; ones if `None`. A pair weighs the product of its members' weights.
      keys: `[B]` integers or strings; only examples of equal key make a pair, and those without one (-1 or the empty
        string) make none. `None` pairs the whole batch.
      max_pairs: Beyond it, pairs are drawn; a batch of 4,096 with 1 % positives has 166,255.
      seed: Two integers for the draw, which should differ between steps; `None` uses TensorFlow's global generator.

    Returns:
      A scalar; 0, with gradient 0, if there is no pair.

    Raises:
      ValueError: If `max_pairs` < 1.
    """
    if max_pairs < 1:
        raise ValueError(f"The pairwise loss needs max_pairs >= 1. Received: {max_pairs}.")
    rows = observed(labels=labels, logits=logits, weights=weights)
    if keys is None:
        pairs = pairs_in_batch(rows, max_pairs=max_pairs, seed=seed)
    else:
        pairs = pairs_in_key(rows, keys=keys, max_pairs=max_pairs, seed=seed)
    return weighted_mean(tf.nn.softplus(pairs.negative - pairs.positive), pairs.weight)


def value_pairwise_loss(
    *,
    labels: tf.Tensor,
    scores: tf.Tensor,
    weights: tf.Tensor | None = None,
    keys: tf.Tensor | None = None,
    max_pairs: int = MAX_PAIRS,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """`mean over pairs y_i > y_j of softplus(s_j - s_i)`: the pairwise loss of real values, such as pLTV (§6.1).

    The paper uses the loss in all its pLTV models, but does not give its form for values. Here each pair of different
    values counts the same, as in RankNet: weighted by their difference, a few buyers would dominate. With labels 0 and
    1 it is `pairwise_loss`. With `s = log m`, where m is the predicted mean, it is `-log(m_i / (m_i + m_j))`, which
    does not depend on the currency.

    Args:
      labels: `[B]`, any numbers; NaN where not observed. Equal ones make no pair.
      scores: `[B]`, in any float dtype; the loss is computed in float32.
      weights: As in `pairwise_loss`.
      keys: As in `pairwise_loss`.
      max_pairs: As in `pairwise_loss`.
      seed: As in `pairwise_loss`.

    Returns:
      A scalar; 0, with gradient 0, if there is no pair.

    Raises:
      ValueError: If `max_pairs` < 1.
    """
    if max_pairs < 1:
        raise ValueError(f"The pairwise loss needs max_pairs >= 1. Received: {max_pairs}.")
    rows = observed(labels=labels, logits=scores, weights=weights)
    pairs = pairs_by_value(rows, keys=keys, max_pairs=max_pairs, seed=seed)
    return weighted_mean(tf.nn.softplus(pairs.negative - pairs.positive), pairs.weight)


def classification_and_ranking(
    *,
    labels: tf.Tensor,
    logits: tf.Tensor,
    ranking_weight: float,
    weights: tf.Tensor | None = None,
    keys: tf.Tensor | None = None,
    max_pairs: int = MAX_PAIRS,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """`(1 - w) BCE + w L_rank`, w = `ranking_weight`; the other arguments are those of `pairwise_loss`.

    The ranking part does not depend on the level of the logits, so the prediction is calibrated only while w < 1. A
    batch without a pair keeps `(1 - w) BCE`: the weight of an example must not depend on the rest of its batch.

    Raises:
      ValueError: If w is not in [0, 1].
    """
    if not 0.0 <= ranking_weight <= 1.0:
        raise ValueError(f"ranking_weight must be in [0, 1]. Received: {ranking_weight}.")
    ranking = pairwise_loss(labels=labels, logits=logits, weights=weights, keys=keys, max_pairs=max_pairs, seed=seed)
    entropy = binary_cross_entropy(labels=labels, logits=logits, weights=weights)
    return (1.0 - ranking_weight) * entropy + ranking_weight * ranking
