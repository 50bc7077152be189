"""Heads that know how sure they are: a Gaussian process a task in place of a logit ([Tencent] §6.4, Appendix A.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.layers.legacy_keras import keras
from fullrank.layers.uncertainty.covariance_kernels import KernelName
from fullrank.layers.uncertainty.gaussian_posterior import GaussianPosterior
from fullrank.layers.uncertainty.gaussian_process import GaussianLogits, GaussianProcessHead


class GaussianHeads(keras.layers.Layer):
    """`f_t ~ GP` over the tower of task t; the process of each task is its own, and all are computed at once.

    Call arguments:
      inputs: `[B, G, U]`, what the towers give.

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
        """Nothing: the posterior is trained by gradients."""

    def precompute(self) -> None:
        """Answers from a posterior that is computed now, for serving; what is trained later does not change it."""
        self._posterior = GaussianPosterior(self.process)
