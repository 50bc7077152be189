"""The training metrics of a model's tasks."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from fullrank.models.heads.task_outputs import TaskOutputs
from fullrank.models.metrics import StreamingTasks, StreamingValues


class TaskMetrics(keras.layers.Layer):
    """Holds the metrics of the binary tasks and of the value tasks; a model that holds this layer reports them.

    Args:
      outputs: The tasks.
    """

    def __init__(self, outputs: TaskOutputs, *, name: str) -> None:
        super().__init__(name=name)
        self._outputs = outputs
        binary, values = ([outputs.tasks[place] for place in places] for places in (outputs.binary, outputs.values))
        self._of_binary = StreamingTasks(binary) if binary else None
        self._of_values = StreamingValues(values) if values else None

    def update(self, labels: tf.Tensor, predictions: tf.Tensor, weights: tf.Tensor | None) -> None:
        """Adds a batch: labels and predictions `[B, T]`, weights `[B]` or `None`."""
        own = self._outputs
        if self._of_binary is not None:
            self._of_binary.update_state(own.of_binary(labels), own.of_binary(predictions), weights)
        if self._of_values is not None:
            self._of_values.update_state(own.of_values(labels), own.of_values(predictions), weights)
