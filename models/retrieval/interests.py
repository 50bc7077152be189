"""Several interests of one user: what the attentions over a history are asked for, and the score of the best one."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers.legacy_keras import keras


class Interests(keras.layers.Layer):
    """`t_k = t + e_k`: K learned targets of the attentions over a history, in place of the one t of a missing ad.

    With the history of a query read once for each target, its tower gives K vectors, and an ad scores

        s_j = max_k <u_k, v_j>

    In training the interest that fits the own ad i best is told from the negatives, `u = u_{argmax_k <u_k, v_i>}`;
    the others get no gradient from it. Both are ComiRec's (Cen et al. 2020, Controllable Multi-Interest Framework for
    Recommendation, arXiv:2005.09347), after MIND (Li et al. 2019, arXiv:1904.08030). Departure: ComiRec-SA pools
    behaviours by an attention of its own, `softmax_l(w_k^T tanh(W h_l))`; here the attention of `--sequence` pools
    them, compared with t_k, so that times and positions of behaviours count as in the ranker. A query without a
    history has K vectors that are equal.

    Call arguments:
      missing: t, embedded fields of a missing ad, `[1, F, d]`.

    Returns:
      `[K, F, d]`.

    Args:
      number: K.
      scale: The e_k start uniformly between plus and minus this.
    """

    def __init__(self, number: int, *, scale: float, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self._number, self._scale = number, scale

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes e, `[K, F, d]`."""
        self._targets = self.add_weight(
            name="targets",
            shape=(self._number, *input_shape[1:]),
            initializer=keras.initializers.RandomUniform(-self._scale, self._scale),
        )
        super().build(input_shape)

    def call(self, missing: tf.Tensor) -> tf.Tensor:
        """Returns the targets."""
        return missing + tf.cast(self._targets, missing.dtype)


def interest_scores(queries: tf.Tensor, ads: tf.Tensor) -> tf.Tensor:
    """Scores of all ads, `[B, N]`: of each the highest of a query's interests.

    Args:
      queries: `[B, D]`, or `[B, K, D]`.
      ads: `[N, D]`.
    """
    if queries.shape.rank == 2:
        return tf.matmul(queries, ads, transpose_b=True)
    return tf.reduce_max(tf.einsum("bkd,nd->bkn", queries, ads), axis=1)


def fitting_interest(queries: tf.Tensor, ads: tf.Tensor) -> tf.Tensor:
    """The interest of each query that fits its own ad best, `[B, D]`.

    Args:
      queries: `[B, D]`, or `[B, K, D]`.
      ads: `[B, D]`.
    """
    if queries.shape.rank == 2:
        return queries
    best = tf.argmax(tf.einsum("bkd,bd->bk", queries, ads), axis=1)
    return tf.gather(queries, best, batch_dims=1)


def best_of_interests(scores: tf.Tensor, places: tf.Tensor, *, at: int) -> tuple[tf.Tensor, tf.Tensor]:
    """From what each interest finds to the first ads of the query, each once with its highest score, `[B, at]`.

    Args:
      scores: `[B, K, C]`, C at least `at`.
      places: `[B, K, C]`, those of one interest different.
      at: How many.
    """
    flat = tf.shape(scores)[1] * tf.shape(scores)[2]
    joined, order = tf.math.top_k(tf.reshape(scores, [-1, flat]), flat)
    found = tf.gather(tf.reshape(places, [-1, flat]), order, batch_dims=1)
    # Equal places side by side, the highest score first; all but the first of them are repeats.
    by_place = tf.argsort(found, axis=1, stable=True)
    sorted_places = tf.gather(found, by_place, batch_dims=1)
    repeats = tf.pad(sorted_places[:, 1:] == sorted_places[:, :-1], [[0, 0], [1, 0]])
    repeats = tf.gather(repeats, tf.argsort(by_place, axis=1), batch_dims=1)
    joined = tf.where(repeats, tf.constant(joined.dtype.min, joined.dtype), joined)
    best, order = tf.math.top_k(joined, at)
    return best, tf.gather(found, order, batch_dims=1)
