"""The unsupervised loss of GraphSAGE on the edges of a graph."""

from __future__ import annotations

import math

import tensorflow as tf


def edge_loss(
    *,
    users: tf.Tensor,
    items: tf.Tensor,
    negative_users: tf.Tensor,
    negative_items: tf.Tensor,
    user_pairs: tf.Tensor,
    item_pairs: tf.Tensor,
    negatives: float = 5.0,
    temperature: float = 0.2,
) -> tf.Tensor:
    """Separates the ends of an edge from random pairs (Hamilton et al. 2017, Eq. 1); each end is the anchor once.

        J(z_u) = -log sigma(<z_u, z_i> / t) - Q E_{n ~ P_n} log sigma(-<z_u, z_n> / t)
        loss   = mean over edges (u, i) of (J(z_u) + J(z_i)) / 2

    The mean over N draws, which all edges of the batch share, estimates the expectation. Three departures:

    * v, which the paper takes from a random walk, is a direct neighbour, because similarity of user and *item* is what
      [Tencent] §3.3 asks for;
    * cosines are divided by t, without which sigma never leaves 0.27..0.73 (the paper's t is 1);
    * draws that are neighbours of the anchor do not count. An edge is hidden from the neighbourhoods of its ends
    (`edge_batches`), but such negatives would not be, so the model would learn that nodes in the neighbourhood are
    negatives.

    Args:
      users: `[B, d]`, length 1.
      items: `[B, d]`, the other ends of the edges.
      negative_users: `[N, d]`, drawn from P_n among users.
      negative_items: `[N, d]`, drawn from P_n among items.
      user_pairs: `[B, N]` bool, whether user b and negative item n are *no* edge.
      item_pairs: `[B, N]` bool, whether item b and negative user n are *no* edge.
      negatives: Q, how much random pairs count relative to an edge.
      temperature: t.

    Returns:
      A float32 scalar.
    """
    users, items, negative_users, negative_items = (
        tf.cast(vectors, tf.float32) for vectors in (users, items, negative_users, negative_items)
    )
    positive = tf.reduce_mean(tf.nn.softplus(-tf.reduce_sum(users * items, axis=1) / temperature))
    of_users = _mean(tf.nn.softplus(tf.matmul(users, negative_items, transpose_b=True) / temperature), user_pairs)
    of_items = _mean(tf.nn.softplus(tf.matmul(items, negative_users, transpose_b=True) / temperature), item_pairs)
    return positive + negatives * (of_users + of_items) / 2.0


def _mean(values: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """The mean over rows of the mean over the selected columns; 0 for a row without any."""
    chosen = tf.cast(chosen, tf.float32)
    number = tf.maximum(tf.reduce_sum(chosen, axis=1), 1.0)
    return tf.reduce_mean(tf.reduce_sum(values * chosen, axis=1) / number)


def untrained_loss(*, negatives: float) -> float:
    """The minimum of `edge_loss` if every pair has the same cosine: log(1 + Q) + Q log(1 + 1 / Q).

    With one logit x for all pairs the loss is softplus(-x) + Q softplus(x), least where sigma(x) = 1 / (1 + Q).
    """
    return math.log1p(negatives) + negatives * math.log1p(1.0 / negatives)
