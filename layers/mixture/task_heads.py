"""The heads: one logit per task from a tower, and probabilities along a chain of events ([Tencent] §2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.mixture.towers import GlorotOfEach


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, G, U]", known="G U"))
class TaskHeads(keras.layers.Layer):
    """`f_t = w_t h_{G(t)} + b_t`, where G(t) is the tower of task t ([Tencent] §2: one per group of conversion types).

    The weights are stacked by tower, padded to the largest group, so a step runs one batched product over the towers
    and not one over the tasks.

    Call arguments:
      inputs: `[B, G, U]`, the output of the towers.

    Returns:
      Logits `[B, T]`.

    Args:
      tower_of: The tower of each task, counted from 0.
    """

    def __init__(
        self,
        tower_of: tuple[int, ...],
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.tower_of = tuple(tower_of)
        if not self.tower_of or min(self.tower_of) < 0:
            raise ValueError(f"tower_of needs a tower, counted from 0, for each task. Received: {tower_of}.")
        # The place of each task among those of its tower.
        self._places = [self.tower_of[:task].count(tower) for task, tower in enumerate(self.tower_of)]

    def build(self, input_shape: Any) -> None:
        """Creates `[T, U, 1]` kernels and `[T, 1]` biases."""
        towers, width = input_shape[1], input_shape[2]
        if max(self.tower_of) >= towers:
            raise ValueError(f"Heads read tower {max(self.tower_of)}, but there are {towers}, counted from 0.")
        tasks = len(self.tower_of)
        self.kernel = self.add_weight(name="kernel_0", shape=(tasks, width, 1), initializer=GlorotOfEach())
        self.bias = self.add_weight(name="bias_0", shape=(tasks, 1), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a logit per task, `[B, T]`."""
        hidden = tf.transpose(tf.cast(inputs, self.compute_dtype), (1, 0, 2))
        towers, most = inputs.shape[1], max(self._places) + 1
        slots = [tower * most + place for tower, place in zip(self.tower_of, self._places, strict=True)]
        padded = tf.scatter_nd([[slot] for slot in slots], self.kernel[:, :, 0], (towers * most, inputs.shape[2]))
        logits = tf.matmul(hidden, tf.reshape(padded, (towers, most, -1)), transpose_b=True)
        flat = tf.reshape(tf.transpose(logits, (1, 0, 2)), (-1, towers * most))
        return (flat if slots == list(range(towers * most)) else tf.gather(flat, slots, axis=1)) + self.bias[:, 0]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "tower_of": self.tower_of}


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, K]", known="K"))
class ConversionChain(keras.layers.Layer):
    """`p_k = q_1 q_2 ... q_k` with `q_k = sigma(z_k)`, as logits, for losses in the entire space (ESMM).

    q_k is the probability of an event given the one before it. Trained only on the examples that reached that one, it
    would be wrong for all others; the product, the probability of the event for any example, can be trained on all of
    them (Ma et al. 2018; [Tencent] §2: click, conversion, deep conversion).

    Losses and metrics take logits, and `p_k` may be too small or too close to 1 for a float. With
    `1 - p_k = sum_{j <= k} p_{j-1} (1 - q_j)`, the chance to stop at one of the k events,

        f_k = log p_k - log(1 - p_k) = sum_{j <= k} log sigma(z_j) - logsumexp_{j <= k}(log p_{j-1} + log sigma(-z_j)),

    where nothing cancels. `df_k / dz_j = (1 - q_j) / (1 - p_k)` is between 0 and 1, so no gradient explodes.

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
