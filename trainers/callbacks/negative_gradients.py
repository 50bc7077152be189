"""Shows whether negatives still have a gradient ([Tencent] §6.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.objectives import logit_gradients

LogitLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Labels `[B]` and logits `[B]` -> scalar."""


class NegativeGradients(keras.callbacks.Callback):
    """Adds `negative_gradient/<loss>` to the logs of each epoch: the mean absolute gradient on logits of negatives.

    The gradients are those that each loss would give on one fixed batch, whatever the model is trained with, so that a
    run with cross entropy also shows what a ranking loss would have left. They are on the scale of a single example's
    loss, see `logit_gradients`. It stands before the callbacks that write the logs down.

    Args:
      batch: Columns as the model takes them, and the label. It should be large: at a base rate of 0.1 %, a thousand
        examples have one positive.
      task: The label, for which `model.logits(batch)` gives logits.
      losses: Name -> loss.
    """

    def __init__(self, batch: Mapping[str, tf.Tensor], *, task: str, losses: Mapping[str, LogitLoss]) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._batch = dict(batch)
        self._task = task
        self._losses = dict(losses)
        self._measure: Callable[[], dict[str, tf.Tensor]] | None = None

    def set_model(self, model: Any) -> None:
        """Takes the model whose logits are looked at."""
        super().set_model(model)
        self._measure = tf.function(self._gradients)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures on the batch."""
        if logs is not None and self._measure is not None:
            logs.update({f"negative_gradient/{name}": value.numpy() for name, value in self._measure().items()})

    def _gradients(self) -> dict[str, tf.Tensor]:
        labels = self._batch[self._task]
        logits = self.model.logits(self._batch, training=False)[self._task]
        return {
            name: logit_gradients(labels=labels, logits=logits, loss=functools.partial(loss, labels)).negative
            for name, loss in self._losses.items()
        }
