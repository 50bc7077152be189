"""Heads with uncertainty, in place of a logit ([Tencent] §6.4, Appendix A.1).

They are a Gaussian process per task, its cheaper relatives (a Bayesian last layer, random features), and the usual
baseline, dropout (Gal and Ghahramani 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.layers.legacy_keras import keras
from fullrank.layers.mixture.task_heads import TaskHeads
from fullrank.layers.uncertainty.covariance_kernels import KernelName
from fullrank.layers.uncertainty.gaussian_posterior import GaussianPosterior
from fullrank.layers.uncertainty.gaussian_process import GaussianProcessHead
from fullrank.layers.uncertainty.last_layer_laplace import LastLayerLaplace
from fullrank.layers.uncertainty.random_feature_gp import RandomFeatureGP
from fullrank.layers.uncertainty.task_logits import GaussianLogits
from fullrank.models.options import RankerOptions


class DropoutHeads(keras.layers.Layer):
    """A logit per task whose inputs are dropped with probability r: exact mean and variance over all masks.

        f = b + sum_i w_i h_i m_i / (1 - r),   m_i ~ Ber(1 - r)
        mean = b + sum_i w_i h_i,   variance = r / (1 - r) sum_i (w_i h_i)^2

    Only masks of the last hidden layer count: those of lower layers would need a pass through the tower for each draw
    (`models.exploration.ensemble_logits` takes such draws, and those of several models). In training the tower has
    already dropped units, and the variance is 0.

    Call arguments:
      inputs: `[B, G, U]`, the outputs of the towers.

    Returns:
      `GaussianLogits` of `[B, T]`.

    Args:
      tower_of: The tower of each task, counted from 0.
      base_rates: Share of positives of each task.
      rate: r, the dropout rate of the towers.
    """

    def __init__(
        self,
        tower_of: Sequence[int],
        *,
        base_rates: Sequence[float],
        rate: float,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tower_of = np.array(tower_of, np.int32)
        rates = np.asarray(base_rates, np.float64)
        self._start = np.log(rates) - np.log1p(-rates)
        self._odds = rate / (1.0 - rate)
        self.logits = TaskHeads(tuple(tower_of), name="logits", dtype=dtype)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> GaussianLogits:
        """Returns mean and variance of each logit."""
        mean = self.logits(inputs) + tf.constant(self._start, self.logits.compute_dtype)
        if training:
            return GaussianLogits(mean=mean, variance=tf.zeros_like(mean))
        squares = tf.square(tf.gather(tf.cast(inputs, mean.dtype), self._tower_of, axis=1))
        variance = self._odds * tf.einsum("btu,tu->bt", squares, tf.square(self.logits.kernel[:, :, 0]))
        return GaussianLogits(mean=mean, variance=variance)

    def divergence(self) -> tf.Tensor:
        """0 for each task, `[T]`."""
        return tf.zeros([len(self._tower_of)])

    def observe(self, inputs: tf.Tensor, weights: tf.Tensor, share: tf.Tensor | None = None) -> None:
        """Does nothing: the variance is that of the masks."""

    def precompute(self) -> None:
        """Nothing."""


class LaplaceHeads(keras.layers.Layer):
    """`f_t ~ N(w_t^T x~, x~^T H_t^-1 x~)` over the tower of task t, by `LastLayerLaplace` or `RandomFeatureGP`.

    Training treats the logit as certain, so the loss is the cross entropy plus the prior's penalty over N_t, and
    `observe` builds H during training: each batch is added to it, and once N_t labels are in it, the same amount of
    older ones is forgotten. H is then that of the last N_t labels, each at the weights of its step, and no pass over
    the data is needed after training or after weights of an earlier epoch are restored. Only observed labels count: H_t
    is the same as from these rows alone. Sample weights are scaled to mean 1 over the labels of a task in a batch, as
    they are in the loss, so that their scale does not narrow the posterior.

    Call arguments:
      inputs: `[B, G, U]`, the outputs of the towers.

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
        """Creates the counter of labels in each H, `[T]`."""
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
        """Adds a training batch to H; does nothing if the layer is frozen.

        Args:
          inputs: `[B, G, U]`, as of the call.
          weights: Weights of each label, `[B, T]`; 0 where it was not observed.
          share: Share of the N_t labels that a task gets, `[T]`, such as that of one of several scenarios; all of them
            if `None`.
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
        """`-log p(w) / N_t` of each task up to a constant, `[T]`."""
        return self.last.prior_penalty() / self._labels

    def precompute(self) -> None:
        """Does nothing: training keeps the posterior up to date."""


class GaussianHeads(keras.layers.Layer):
    """`f_t ~ GP` over the tower of task t; each task has a process of its own, and all are computed at once.

    Call arguments:
      inputs: `[B, G, U]`, the outputs of the towers.

    Returns:
      `GaussianLogits` of `[B, T]`.

    Attributes:
      process: The processes.

    Args:
      tower_of: The tower of each task, counted from 0.
      base_rates: Share of positives of each task.
      inducing_points: M.
      kernel: As in `GaussianProcessHead`.
      labels: N of each task, its observed labels in the training split, by which its divergence is divided.
    """

    def __init__(
        self,
        tower_of: Sequence[int],
        *,
        base_rates: Sequence[float],
        inducing_points: int,
        kernel: KernelName,
        labels: Sequence[float],
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._tower_of = np.array(tower_of, np.int32)
        self._labels = np.array(labels, np.float32)
        self.process = GaussianProcessHead(
            inducing_points, base_rate=tuple(base_rates), kernel=kernel, name="process", dtype=dtype
        )
        self._posterior: GaussianPosterior | None = None

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> GaussianLogits:
        """Returns mean and variance of each logit."""
        own = tf.gather(inputs, self._tower_of, axis=1)
        if self._posterior is not None and not training:
            found: GaussianLogits = self._posterior(own)
            return found
        logits: GaussianLogits = self.process(own, training=training)
        return logits

    def divergence(self) -> tf.Tensor:
        """`KL(q(u) || p(u)) / N` of each task, `[T]`."""
        return tf.cast(self.process.kl_divergence(), tf.float32) / self._labels

    def observe(self, inputs: tf.Tensor, weights: tf.Tensor, share: tf.Tensor | None = None) -> None:
        """Does nothing: the posterior is trained by gradients."""

    def precompute(self) -> None:
        """Computes the posterior for serving once, from the present weights; later training does not change it."""
        self._posterior = GaussianPosterior(self.process)


UncertainHeads = GaussianHeads | LaplaceHeads | DropoutHeads
"""All return `GaussianLogits` of `[B, T]` and a `divergence` of `[T]`; in training they `observe` the labels
of a batch, and for serving they `precompute` whatever depends on weights alone."""


def uncertain_heads(
    tower_of: Sequence[int], *, options: RankerOptions, base_rates: Sequence[float], labels: Sequence[float]
) -> UncertainHeads:
    """Builds the head that `options.head` names.

    Args:
      tower_of: The tower of each task.
      options: Options with a head other than `logit`.
      base_rates: Share of positives of each task.
      labels: N of each task, its observed labels in the training split.

    Raises:
      ValueError: If the head is `dropout` but the towers drop no units.
    """
    if options.head == "gp":
        return GaussianHeads(
            tower_of,
            base_rates=base_rates,
            inducing_points=options.inducing_points,
            kernel=options.kernel,
            labels=labels,
            name="logits",
            dtype="float32",
        )
    if options.head == "dropout":
        if not options.dropout or not options.tower:
            raise ValueError(
                "head='dropout' reads its uncertainty off a tower that drops units: give dropout > 0 and a tower. "
                f"Received: dropout={options.dropout:g}, tower={options.tower}."
            )
        return DropoutHeads(tower_of, base_rates=base_rates, rate=options.dropout, name="logits", dtype="float32")
    return LaplaceHeads(
        tower_of,
        base_rates=base_rates,
        random_features=options.inducing_points if options.head == "rff_gp" else None,
        labels=labels,
        name="logits",
        dtype="float32",
    )
