"""What a model predicts of each task, from the columns of its heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.models.ranker_options import RankerOptions
from fullrank.models.scenarios import of_scenario
from fullrank.models.wiring import Wiring


class Predicted(NamedTuple):
    """What a batch came to, in float32.

    Attributes:
      logits: `[B, T]`, of each task's probability.
    """

    logits: tf.Tensor


class TaskOutputs:
    """Which columns the heads have, what they mean, and where they start.

    Args:
      schema: What is known of the labels.
      wiring: Its tasks must be binary labels of the schema.
      options: The scenario column.

    Raises:
      ValueError: If a task is no label that can be predicted.
    """

    def __init__(self, schema: Schema, wiring: Wiring, options: RankerOptions) -> None:
        self.labels = tuple(schema.label(task) for task in wiring.tasks)
        for label in self.labels:
            if label.type != "binary":
                raise ValueError(f"Task {label.name!r} is not a binary label; only binary labels can be predicted.")
        self._wiring, self._scenario = wiring, options.scenario

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the heads by name, all different."""
        return self._wiring.heads

    @property
    def tower_of(self) -> tuple[int, ...]:
        """The tower of each column."""
        return self._wiring.tower_of

    def start(self) -> np.ndarray[Any, Any]:
        """The first bias of each column: the logit of its task's base rate, which saves learning it."""
        mean_of = {label.name: label.mean or 0.5 for label in self.labels}
        means = np.array([mean_of[task] for task in self._wiring.task_of_heads], np.float32)
        means = np.clip(means, 1e-6, 1 - 1e-6)
        biases: np.ndarray[Any, Any] = np.log(means / (1 - means))
        return biases

    def read(self, columns: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> Predicted:
        """Gives the columns of the heads, `[B, C]`, their meaning."""
        if self._scenario is not None:
            columns = of_scenario(columns, batch[self._scenario], wiring=self._wiring)
        return Predicted(logits=columns)

    def predictions(self, predicted: Predicted) -> tf.Tensor:
        """What is predicted of each label, `[B, T]`: the probability of a binary one."""
        return tf.sigmoid(predicted.logits)

    def named(self, predicted: Predicted) -> dict[str, tf.Tensor]:
        """`{task: prediction [B]}`."""
        return self.by_task(self.predictions(predicted))

    def by_task(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """`{task: values [B]}` of `[B, T]`."""
        return dict(zip(self._wiring.tasks, tf.unstack(values, axis=1), strict=True))
