"""A pre-ranker: towers that learn a ranker's order of sampled candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from fullrank.data.reading.weights import example_weights
from fullrank.layers.legacy_keras import tfrs
from fullrank.models.objectives.pairs import weighted_mean
from fullrank.models.retrieval.tower import LateMeeting
from fullrank.models.retrieval.two_tower import TwoTower

Batch = Mapping[str, tf.Tensor]
Teacher = Callable[[Batch, tf.Tensor], tf.Tensor]
"""Batch of B examples, and places `[C]` of ads in the catalogue -> the ranker's logits, `[B, 1 + C]`: those of the own
ads of the examples, then of the ads."""


class PreRanker(tfrs.Model):
    """Towers that meet late, distilled from a ranker.

    Each example asks for its query; its candidates are its own ad and C ads drawn uniformly from the catalogue, not
    only what was shown. With the ranker's logits r and the scores z of `LateMeeting`, over the candidates c of query i:

        p_ic = softmax_c(r_ic / T)        loss = - mean_i sum_c p_ic log softmax_c(z_ic)

    which is least where z orders the candidates as r does, however it is scaled.

    Args:
      towers: Its towers, with their catalogue.
      hidden: Hidden units of the meeting.
      candidates: C.
      temperature: T.
      seed: Seed of the draws.
    """

    def __init__(
        self,
        towers: TwoTower,
        *,
        hidden: int,
        candidates: int,
        temperature: float,
        seed: int = 0,
        name: str = "pre_ranker",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.towers = towers
        self.meeting = LateMeeting(hidden, name="meeting")
        self.candidates, self._temperature, self._seed = candidates, temperature, seed
        self._teacher: Teacher | None = None
        width = towers.options.vector_width
        self.meeting(tf.zeros([1, width]), tf.zeros([1, 1, width]))

    def learn_from(self, teacher: Teacher) -> None:
        """Sets the ranker; nothing of it is saved with the model."""
        self._teacher = teacher

    @property
    def table_variables(self) -> dict[str, tf.Variable]:
        """The embedding variables."""
        return self.towers.table_variables

    @property
    def small_tables(self) -> list[tf.Variable]:
        """Tables of few rows outside the embedding sets."""
        return self.towers.small_tables

    def call(self, batch: Batch, training: bool | None = None) -> tf.Tensor:
        """Scores of the examples' own ads, `[B]`."""
        vectors = self.towers(batch, training=training)
        return tf.squeeze(self.meeting(vectors["query"], vectors["ad"][:, tf.newaxis, :]), axis=1)

    def scores_of(self, batch: Batch, places: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Scores of the own ads, then of ads of the catalogue, `[B, 1 + C]`.

        Args:
          batch: Columns of examples.
          places: Places of the ads, `[C]`.
          training: Whether dropout is on.
        """
        vectors = self.towers(batch, training=training)
        given = {name: tf.gather(values, places) for name, values in self.towers.catalogue.items()}
        ads = self.towers.ad_vectors(given, training=training)
        own = self.meeting(vectors["query"], vectors["ad"][:, tf.newaxis, :])
        return tf.concat([own, self.meeting(vectors["query"], ads)], axis=1)

    def both_scores(self, batch: Batch, *, step: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """What ranker and pre-ranker say of the same candidates, `[B, 1 + C]` each.

        Args:
          batch: Columns of examples.
          step: Number that the draw depends on.
          training: Whether dropout is on.

        Raises:
          ValueError: If no ranker was set.
        """
        if self._teacher is None:
            raise ValueError("A pre-ranker learns from a ranker: call learn_from first.")
        seed = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(step, tf.int64)])
        places = tf.random.stateless_uniform([self.candidates], seed, maxval=self.towers.ads, dtype=tf.int64)
        return tf.stop_gradient(self._teacher(batch, places)), self.scores_of(batch, places, training=training)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The cross entropy of both orders, weighted by the examples."""
        step = self.optimizer.iterations if getattr(self, "optimizer", None) is not None else tf.constant(0)
        ranked, scored = self.both_scores(inputs, step=step, training=training)
        wanted = tf.nn.softmax(ranked / self._temperature)
        losses = tf.nn.softmax_cross_entropy_with_logits(labels=wanted, logits=scored)
        weights = example_weights(inputs, self.towers.schema.weight)
        return weighted_mean(losses, tf.ones_like(losses) if weights is None else weights)


def consistency(ranked: tf.Tensor, scored: tf.Tensor, *, top: int, kept: int) -> tf.Tensor:
    """Share of the ranker's first k that are among the pre-ranker's first K, of each query, `[B]`.

    Args:
      ranked: The ranker's scores, `[B, C]`.
      scored: The pre-ranker's, `[B, C]`.
      top: k.
      kept: K.
    """
    best = tf.math.top_k(ranked, top).indices
    passed = tf.math.top_k(scored, kept).indices
    found = tf.reduce_any(tf.equal(best[:, :, tf.newaxis], passed[:, tf.newaxis, :]), axis=2)
    return tf.reduce_mean(tf.cast(found, tf.float32), axis=1)
