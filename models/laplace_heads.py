"""Cheaper heads that know how sure they are: a Bayesian last layer, or random features ([Tencent] §6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.layers.legacy_keras import keras
from fullrank.layers.uncertainty.gaussian_process import GaussianLogits
from fullrank.layers.uncertainty.last_layer_laplace import LastLayerLaplace
from fullrank.layers.uncertainty.random_feature_gp import RandomFeatureGP


class LaplaceHeads(keras.layers.Layer):
    """`f_t ~ N(w_t^T x~, x~^T H_t^-1 x~)` over the tower of task t, by `LastLayerLaplace` or `RandomFeatureGP`.

    Training takes the logit for certain, so that the loss is the cross entropy plus the prior's penalty over N_t, and
    `observe` builds H on the way: each batch is added to it, and once N_t labels are in it, as much of the older ones
    is forgotten. H is then that of the last N_t labels, at the weights that were there when each came by, and no pass
    over the data is needed after training or after weights of an earlier epoch are restored. Only observed labels
    count: H_t is what these rows alone would have given. Sample weights are scaled to mean 1 over the labels of a task
    in a batch, as they are in the loss, so that their scale does not make the posterior surer.

    Call arguments:
      inputs: `[B, G, U]`, what the towers give.

    Returns:
      `GaussianLogits` of `[B, T]`; in training with variance 0.

    Args:
      tower_of: The tower of each task, counted from 0.
      base_rates: Share of positives of each task.
      random_features: R of `RandomFeatureGP`; `None` for `LastLayerLaplace`.
      labels: N of each task, its observed labels in the training split.
    """

    def __init__(
        self,
        tower_of: Sequence[int],
        *,
        base_rates: Sequence[float],
        random_features: int | None,
        labels: Sequence[float],
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tower_of = np.array(tower_of, np.int32)
        self._labels = np.array(labels, np.float32)
        rates = tuple(base_rates)
        self.last: LastLayerLaplace | RandomFeatureGP
        if random_features is None:
            self.last = LastLayerLaplace(base_rate=rates, name="last", dtype=dtype)
        else:
            self.last = RandomFeatureGP(random_features, base_rate=rates, name="features", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Creates the number of labels in each H, `[T]`."""
        self._seen = self.add_weight(
            name="seen",
            shape=self._labels.shape,
            dtype="float32",
            initializer="zeros",
            trainable=False,
            experimental_autocast=False,
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> GaussianLogits:
        """Returns mean and variance of each logit."""
        own = tf.gather(inputs, self._tower_of, axis=1)
        found: GaussianLogits = self.last(own)
        if not training:
            return found
        return GaussianLogits(mean=found.mean, variance=tf.zeros_like(found.mean))

    def observe(self, inputs: tf.Tensor, weights: tf.Tensor, share: tf.Tensor | None = None) -> None:
        """Adds a training batch to H; nothing if the layer is frozen.

        Args:
          inputs: `[B, G, U]`, as of the call.
          weights: Of each label, `[B, T]`; 0 where it was not observed.
          share: Of the N_t labels those that a task is given, `[T]`, as where it has one of several scenarios; all of
            them if `None`.
        """
        if not self.trainable:
            return
        own = tf.stop_gradient(tf.gather(inputs, self._tower_of, axis=1))
        added = tf.reduce_sum(tf.cast(weights > 0.0, tf.float32), axis=0)
        scale = tf.math.divide_no_nan(added, tf.reduce_sum(weights, axis=0))
        limit = self._labels if share is None else tf.maximum(self._labels * share, 1.0)
        before, after = self._seen, tf.minimum(self._seen + added, limit)
        kept = tf.math.divide_no_nan(tf.maximum(after - added, 0.0), before)
        self.last.accumulate(own, weights=weights * scale, decay=kept)
        self._seen.assign(after)
        self.last.refresh()

    def divergence(self) -> tf.Tensor:
        """`-log p(w) / N_t` of each task but for a constant, `[T]`."""
        return self.last.prior_penalty() / self._labels

    def precompute(self) -> None:
        """Nothing: what serving needs is kept up to date in training."""
