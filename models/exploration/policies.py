"""Exploration policies: pure functions of a logit's mean and variance and of a seed, all with one signature.

Each returns scores in logits, of the shape of the means: [Tencent] §6.4 ranks by `sigma(score)`. The same seed
gives the same scores on every call; take a new one for each request. Further arguments of a policy have a default; bind
another value with `functools.partial`. `joint_thompson` draws the function once for all candidates of a request.
`ensemble_logits` computes the mean and variance of several predictions, the plain baseline of a process.
"""

from __future__ import annotations

from typing import Final, Protocol

import tensorflow as tf

from fullrank.layers import GaussianLogits


class Policy(Protocol):
    """The signature of every policy: `mean` and `variance` `[..., C]`, and `seed`, two integers."""

    def __call__(self, *, mean: tf.Tensor, variance: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns scores `[..., C]`."""


def greedy(*, mean: tf.Tensor, variance: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The mean: no exploration.

    Args:
      mean: Mean of the logits, `[..., C]`.
      variance: Not used.
      seed: Not used.
    """
    return tf.identity(mean)


def thompson(*, mean: tf.Tensor, variance: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`f^ ~ N(mean, variance)` ([Tencent] Eq. 5), drawn independently per candidate; see `joint_thompson` for a slate.

    Args:
      mean: Mean of the logits, `[..., C]`.
      variance: Their variance, of the same shape.
      seed: Two integers, `[2]`.
    """
    noise = tf.random.stateless_normal(tf.shape(mean), seed=seed, dtype=mean.dtype)
    return mean + tf.sqrt(variance) * noise


def ucb(*, mean: tf.Tensor, variance: tf.Tensor, seed: tf.Tensor, width: float = 1.0) -> tf.Tensor:
    """Upper confidence bound: `mean + width sqrt(variance)`.

    Args:
      mean: Mean of the logits, `[..., C]`.
      variance: Their variance, of the same shape.
      seed: Not used.
      width: How many standard deviations above the mean.
    """
    return mean + width * tf.sqrt(variance)


def epsilon_greedy(*, mean: tf.Tensor, variance: tf.Tensor, seed: tf.Tensor, epsilon: float = 0.05) -> tf.Tensor:
    """The means; with probability epsilon, those of a slate in random order, so that any candidate may come first.

    A candidate may then have the score of another one: rank by the score, and charge by the mean.

    Args:
      mean: Mean of the logits, `[..., C]`; the last axis is a slate.
      variance: Not used.
      seed: Two integers, `[2]`.
      epsilon: Share of the slates that explore.
    """
    for_slates, for_order = tf.unstack(tf.random.split(seed, 2))
    explores = tf.random.stateless_uniform(tf.shape(mean)[:-1], seed=for_slates) < epsilon
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(mean), seed=for_order), axis=-1)
    shuffled = tf.gather(mean, order, batch_dims=mean.shape.rank - 1)
    return tf.where(explores[..., tf.newaxis], shuffled, mean)


POLICIES: Final[dict[str, Policy]] = {
    "greedy": greedy,
    "thompson": thompson,
    "ucb": ucb,
    "epsilon_greedy": epsilon_greedy,
}


def joint_thompson(*, mean: tf.Tensor, covariance: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`f^ ~ N(mean, C)`, `f^ = mean + V sqrt(max(D, 0)) z` with `C = V D V^T`.

    Drawn independently, each of a hundred similar ads is a new chance for a high score; drawn jointly, they rise and
    fall together, and identical ones get identical scores. Eigenvectors are used instead of a Cholesky factor because
    similar ads make C singular, and the jitter that a factor needs would separate identical ads. It costs `O(C^3)` per
    request.

    Args:
      mean: `[..., C]`.
      covariance: `[..., C, C]`, of the candidates of each slate; float64 as `GaussianPosterior.covariance` returns it.
      seed: Two integers, `[2]`.

    Returns:
      Scores in logits, `[..., C]`, in the type of `mean`.
    """
    values, vectors = tf.linalg.eigh(covariance)
    noise = tf.random.stateless_normal(tf.shape(values), seed=seed, dtype=values.dtype)
    drawn = tf.linalg.matvec(vectors, tf.sqrt(tf.maximum(values, 0.0)) * noise)
    return mean + tf.cast(drawn, mean.dtype)


def ensemble_logits(predictions: tf.Tensor) -> GaussianLogits:
    """Mean and unbiased variance over K predictions of the same logits.

    The predictions come from models trained from different seeds (a deep ensemble), or from one model called K times
    with `training=True`, so that dropout draws anew (Monte-Carlo dropout).

    Args:
      predictions: `[K, ...]` logits, K at least 2.

    Raises:
      ValueError: If K is known to be below 2.
    """
    number = predictions.shape[0]
    if number is not None and number < 2:
        raise ValueError(f"A variance needs at least 2 predictions. Received: {number}.")
    logits = tf.cast(predictions, tf.float32)
    mean = tf.reduce_mean(logits, axis=0)
    squares = tf.reduce_sum(tf.square(logits - mean), axis=0)
    return GaussianLogits(mean=mean, variance=squares / tf.cast(tf.shape(logits)[0] - 1, tf.float32))
