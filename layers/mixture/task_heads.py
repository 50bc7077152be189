"""The heads: a logit a task, from the tower it shares with others or has to itself ([Tencent] §2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.mixture.towers import GlorotOfEach


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, G, U]", known="G U"))
class TaskHeads(keras.layers.Layer):
    """`f_t = w_t h_{G(t)} + b_t`, G(t) being the tower of task t ([Tencent] §2: one per group of conversion types).

    The towers' weights lie side by side, padded to the largest group, so that a step runs one batched product over the
    towers and not one over the tasks.

    Call arguments:
      inputs: `[B, G, U]`, what the towers give.

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
        """Returns a logit a task, `[B, T]`."""
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
