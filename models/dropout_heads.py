"""The usual baseline of a head that knows how sure it is: dropout (Gal and Ghahramani 2016; [Tencent] §6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.layers.legacy_keras import keras
from fullrank.layers.mixture.task_heads import TaskHeads
from fullrank.layers.uncertainty.gaussian_process import GaussianLogits


class DropoutHeads(keras.layers.Layer):
    """A logit a task whose inputs are dropped with probability r: mean and variance over all masks, none drawn.

        f = b + sum_i w_i h_i m_i / (1 - r),   m_i ~ Ber(1 - r)
        mean = b + sum_i w_i h_i,   variance = r / (1 - r) sum_i (w_i h_i)^2

    Masks of the last hidden layer only: those of the layers below would need a pass through the tower for each draw
    (`models.exploration.ensemble_logits` takes such draws, and those of several models). In training the tower has
    dropped already, and the variance is 0.

    Call arguments:
      inputs: `[B, G, U]`, what the towers give.

    Returns:
      `GaussianLogits` of `[B, T]`.

    Args:
      tower_of: The tower of each task, counted from 0.
      base_rates: Share of positives of each task.
      rate: r, that of the towers.
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
        """0 of each task, `[T]`."""
        return tf.zeros([len(self._tower_of)])

    def observe(self, inputs: tf.Tensor, weights: tf.Tensor, share: tf.Tensor | None = None) -> None:
        """Nothing: the variance is that of the masks."""

    def precompute(self) -> None:
        """Nothing."""
