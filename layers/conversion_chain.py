"""Probabilities along a chain of events, each of which needs the one before it ([Tencent] §2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.exact_dtype import exact_dtype


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, K]", known="K"))
class ConversionChain(keras.layers.Layer):
    """`p_k = q_1 q_2 ... q_k` with `q_k = sigma(z_k)`, as logits, for losses in the entire space (ESMM).

    q_k is the probability of an event given the one before it. Trained on the examples that got that far, it would be
    wrong for all others; the product, the probability of the event for any example, can be trained on all of them
    (Ma et al. 2018; [Tencent] §2: click, conversion, deep conversion).

    Losses and metrics take logits, and `p_k` may be too small or too close to 1 for a float. With
    `1 - p_k = sum_{j <= k} p_{j-1} (1 - q_j)`, the chance to stop at one of the k events,

        f_k = log p_k - log(1 - p_k) = sum_{j <= k} log sigma(z_j) - logsumexp_{j <= k}(log p_{j-1} + log sigma(-z_j)),

    where nothing cancels. `df_k / dz_j = (1 - q_j) / (1 - p_k)` lies between 0 and 1, so no gradient explodes.

    Call arguments:
      inputs: z, `[B, K]`, in the order of the chain.

    Returns:
      f, `[B, K]`, in float32, or float64 under that policy; the first column equals that of z.
    """

    def __init__(self, *, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the products."""
        z = tf.cast(inputs, exact_dtype(self.compute_dtype))
        log_q = tf.math.log_sigmoid(z)
        log_p = tf.cumsum(log_q, axis=1)
        stops = tf.cumsum(log_q, axis=1, exclusive=True) + tf.math.log_sigmoid(-z)
        upto = np.tril(np.ones((z.shape[1], z.shape[1]), bool))
        log_rest = tf.reduce_logsumexp(tf.where(upto, stops[:, tf.newaxis], tf.constant(-np.inf, z.dtype)), axis=2)
        return tf.concat([z[:, :1], log_p[:, 1:] - log_rest[:, 1:]], axis=1)
