"""Task weights learned from each task's uncertainty (Kendall, Gal and Cipolla 2018)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="fullrank")
class UncertaintyWeights(keras.layers.Layer):
    """`L = 1/T sum_t exp(-s_t) L_t + s_t`, with s_t trained and 0 at the start, where L is the tasks' mean.

    For fixed losses the minimum is at `s_t = log L_t`, so every task comes to weigh `1 / L_t`. Kendall et al. write
    `s = log sigma^2` and, for classification, `exp(-s) L_t + s / 2`, whose weights are half as large throughout.

    A task that no example of the batch has a label for contributes nothing: its s_t would fall forever otherwise. The
    sum can be negative.

    Call arguments:
      losses: `[T]`.
      observed: `[T]`, bool: whether the batch holds a label of the task; all of them if `None`.

    Returns:
      A scalar.
    """

    def __init__(self, *, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)

    def build(self, input_shape: Any) -> None:
        """Creates s, `[T]`."""
        self.log_variance = self.add_weight(name="log_variance", shape=(input_shape[0],), initializer="zeros")
        super().build(input_shape)

    def call(self, losses: tf.Tensor, observed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the weighted loss."""
        s = tf.cast(self.log_variance, losses.dtype)
        terms = tf.exp(-s) * losses + s
        if observed is not None:
            terms = tf.where(observed, terms, tf.zeros_like(terms))
        return tf.reduce_mean(terms)
