"""The losses of an epoch so far, where Keras would report those of its last batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras

LOSSES: Final = ("loss", "regularization_loss", "total_loss")


class LossMeans(keras.layers.Layer):
    """Means of the losses over the examples since the metrics were last reset, which `fit` does at every epoch.

    The loss of a batch of B examples counts B times, so that a smaller last batch counts less. The means are metrics of
    the model: a checkpoint within an epoch holds them.
    """

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name, autocast=False)
        self._means = keras.metrics.MeanTensor(name="loss_means", dtype="float32", shape=(len(LOSSES),))

    def replaced(self, results: Mapping[str, Any], *, examples: tf.Tensor) -> dict[str, Any]:
        """The results of a step with each loss replaced by its mean.

        Args:
          results: What a step of the model returns, with the losses of its batch, scalars.
          examples: B, a scalar.
        """
        losses = tf.stack([tf.cast(results[name], tf.float32) for name in LOSSES])
        self._means.update_state(losses, sample_weight=tf.cast(examples, tf.float32))
        means = dict(zip(LOSSES, tf.unstack(self._means.result()), strict=True))
        return {name: means.get(name, value) for name, value in results.items() if name != self._means.name}
