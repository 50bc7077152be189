"""Counts, during training, how many of a label's observations belong to each scenario, which no schema states."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.replicas import summed


class LabelCounts(keras.layers.Layer):
    """The share of a label's observations that belong to each head's own scenario.

    A posterior needs the number of labels behind it. The schema counts a label over all scenarios together; with
    heads of one scenario each, N of a head is that number times its share.

    Args:
      heads: C of them.
      scenarios: S, of which each head has one; the share is 1 / S until a label has been counted.
    """

    def __init__(self, heads: int, *, scenarios: int, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32")
        self._scenarios = scenarios
        self._own, self._all = (self._count(which, heads) for which in ("own", "all"))

    def _count(self, name: str, heads: int) -> tf.Variable:
        kind: dict[str, Any] = {"dtype": "float64", "initializer": "zeros", "trainable": False}
        return self.add_weight(name=name, shape=(heads,), experimental_autocast=False, **kind)

    def observe(self, own: tf.Tensor, every: tf.Tensor) -> None:
        """Adds a batch: labels of each head's own scenario, and of all scenarios, `[C]` each."""
        self._own.assign_add(summed(tf.cast(own, tf.float64)))
        self._all.assign_add(summed(tf.cast(every, tf.float64)))

    def share(self) -> tf.Tensor:
        """The share of each head, `[C]` float32, above 0."""
        # One additional label, spread evenly, keeps the share of a head without labels above 0.
        return tf.cast((self._own + 1.0 / self._scenarios) / (self._all + 1.0), tf.float32)
