"""The towers: one small network per task, all computed at once ([Tencent] §2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts, require_share
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, T, H]", known="T H"))
class Towers(keras.layers.Layer):
    """T multi-layer perceptrons in parallel: `h_t^{l+1} = act(W_t^l h_t^l + b_t^l)`.

    The weights of all tasks are in one tensor per layer, so a step runs one batched product per layer, not T small
    graphs.

    Call arguments:
      inputs: `[B, T, H]`.

    Returns:
      `[B, T, units[-1]]`; the inputs themselves if there are no layers.

    Args:
      units: Widths of the layers.
      activation: Activation after each layer; `None` for a linear one.
      dropout: Share of units dropped after each layer in training.
    """

    def __init__(
        self,
        units: tuple[int, ...],
        *,
        activation: str | None = "relu",
        dropout: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("Towers", units=tuple(units))
        require_share("Towers", dropout=dropout)
        self.units = tuple(units)
        self.activation = activation
        self.dropout = dropout
        self._activate = keras.activations.get(activation)
        self._drop = Dropout(dropout, name="dropout", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Creates `[T, n_in, n_out]` kernels and `[T, n_out]` biases."""
        tasks, width = input_shape[1], input_shape[2]
        self._kernels, self._biases = [], []
        for layer, units in enumerate(self.units):
            self._kernels.append(
                self.add_weight(name=f"kernel_{layer}", shape=(tasks, width, units), initializer=GlorotOfEach())
            )
            self._biases.append(self.add_weight(name=f"bias_{layer}", shape=(tasks, units), initializer="zeros"))
            width = units
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the last layer of every tower, `[B, T, units[-1]]`."""
        hidden = tf.transpose(tf.cast(inputs, self.compute_dtype), (1, 0, 2))
        for kernel, bias in zip(self._kernels, self._biases, strict=True):
            hidden = self._activate(tf.matmul(hidden, kernel) + bias[:, tf.newaxis])
            if self.dropout:
                hidden = self._drop(hidden, training=training)
        return tf.transpose(hidden, (1, 0, 2))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"units": self.units, "activation": self.activation, "dropout": self.dropout}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="fullrank")
class GlorotOfEach(keras.initializers.Initializer):
    """Glorot uniform for each of T stacked kernels: the plain one would treat T as a convolution's receptive field."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Draws `[T, n_in, n_out]`."""
        limit = (6.0 / (shape[1] + shape[2])) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)(shape, dtype=dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}
