"""Heads that only training uses: a teacher's pseudo label, its residuals, a second logit ([Meta] §3.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.mixture.task_heads import TaskHeads
from fullrank.layers.mixture.towers import Towers


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, G, H]", known="G H"))
class TrainingHeads(keras.layers.Layer):
    """`f_{p,t} = w_{p,t} MLP_{p,t}(x_{G(t)}) + b_{p,t}` for each part p and task t, in one batched product per layer.

    x is the output of the shared architecture that the task's own tower reads; the paper's f_pseudo
    (`distillation_loss`), f_0 and f_1 (`residual_loss`) are "simple multilayer perceptrons" on it. No prediction
    depends on them.

    Call arguments:
      inputs: `[B, G, H]`, the inputs of the towers.

    Returns:
      `{part: logits [B, T]}` in float32, or float64 under that policy.

    Args:
      parts: Names of the parts.
      tower_of: The tower of each task, counted from 0.
      hidden: Hidden layers of each network.
    """

    def __init__(
        self,
        parts: tuple[str, ...],
        *,
        tower_of: tuple[int, ...],
        hidden: tuple[int, ...] = (64,),
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("TrainingHeads", hidden=tuple(hidden))
        self.parts, self.tower_of, self.hidden = tuple(parts), tuple(tower_of), tuple(hidden)
        if not self.parts or not self.tower_of:
            raise ValueError(
                f"TrainingHeads needs parts and the towers of tasks. Received: {self.parts} and {self.tower_of}."
            )
        self._networks = Towers(self.hidden, name="networks", dtype=dtype)
        self._logits = TaskHeads(
            tuple(range(len(self.parts) * len(self.tower_of))),
            name="logits",
            dtype=exact_dtype(self.compute_dtype).name,
        )

    def call(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the logits of each part."""
        read = tf.gather(inputs, self.tower_of * len(self.parts), axis=1)
        logits = self._logits(self._networks(read))
        return dict(zip(self.parts, tf.split(logits, len(self.parts), axis=1), strict=True))

    def start_at(self, logits: dict[str, Any]) -> None:
        """Sets the first logits: `{part: [T]}`; 0 where not given. The layer has to be built."""
        tasks = len(self.tower_of)
        rows = [
            tf.zeros([tasks], self._logits.dtype) if part not in logits else tf.cast(logits[part], self._logits.dtype)
            for part in self.parts
        ]
        self._logits.bias.assign(tf.concat(rows, axis=0)[:, tf.newaxis])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "parts": self.parts, "tower_of": self.tower_of, "hidden": self.hidden}
