"""Selects the labels of a batch that each task and head learns from, where examples belong to scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from fullrank.models.wirings.scenarios import is_of, of_domains
from fullrank.models.wirings.wiring import Wiring


class TaskRows:
    """Labels of T tasks and C heads; a head is a task, or a task in one of several scenarios.

    Args:
      wiring: Tasks, heads and scenarios.
      scenario: The scenario column; `None` without scenarios.
    """

    def __init__(self, wiring: Wiring, scenario: str | None) -> None:
        self._wiring, self._scenario = wiring, scenario

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns that `labels` reads."""
        scenario = (str(self._scenario),) if self._wiring.domains else ()
        return (*dict.fromkeys(self._wiring.labels), *scenario)

    @property
    def of_domains(self) -> bool:
        """Whether each task learns from the examples of one scenario, which schema statistics do not separate."""
        return bool(self._wiring.domains)

    def labels(self, batch: Mapping[str, Any]) -> tf.Tensor:
        """The label of each task, `[B, T]`; NaN where not observed, or where the example is another scenario's."""
        return self.of_own_domain(tf.stack([batch[label] for label in self._wiring.labels], axis=1), batch)

    def of_own_domain(self, values: tf.Tensor, batch: Mapping[str, Any]) -> tf.Tensor:
        """A value per task, `[B, T]`, NaN where the example is not of the scenario that the task learns from."""
        domains = self._wiring.domains
        if not domains:
            return values
        ids = tf.convert_to_tensor(batch[str(self._scenario)])
        return of_domains(values, ids, scenarios=tuple(domains.values()))

    def of_heads(self, weights: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Weights of labels, `[B, T]`, as each head learns from them, `[B, C]`: 0 for another scenario's example."""
        scenarios = self._wiring.head_scenarios
        if not scenarios:
            return weights
        places = [self._wiring.tasks.index(task) for task in self._wiring.task_of_heads]
        own = [head.rpartition("@")[2] for head in self._wiring.heads]
        ids = tuple(scenarios[[str(s) for s in scenarios].index(name)] for name in own)
        is_own = is_of(batch[str(self._scenario)], scenarios=ids)
        return tf.gather(weights, places, axis=1) * tf.cast(is_own, weights.dtype)

    def labels_in(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The number of examples of a batch, of any scenario, that have the label of each head, `[C]`."""
        label_of = dict(zip(self._wiring.tasks, self._wiring.labels, strict=True))
        labels = tf.stack([batch[label_of[task]] for task in self._wiring.task_of_heads], axis=1)
        return tf.math.count_nonzero(tf.logical_not(tf.math.is_nan(labels)), axis=0)
