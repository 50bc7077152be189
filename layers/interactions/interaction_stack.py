"""DHEN: layers of several interactions, each fed by the one before (Zhang et al. 2022; an expert for [Tencent] §4)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class InteractionStack(keras.layers.Layer):
    """`X_{n+1} = LayerNorm(sum_m I_{n,m}(X_n) W_{n,m} + X_n)`: interactions side by side, layers on top of one another.

    `X_0 = (e_1, ..., e_F)`; every interaction I, `[B, F, d]` to `[B, n]`, is projected back to F fields of width d, so
    that any of them can follow any other. The paper sums or concatenates the interactions of a layer; this is the
    sum, where the shortcut needs no projection. The norm is taken over the d dimensions of each field.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, F d]`, the concatenated fields of the last layer.

    Args:
      layers: The interactions of each layer, from the first to the last.

    Raises:
      ValueError: If there is no layer, or one without an interaction.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[keras.layers.Layer]],
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not layers or not all(layers):
            raise ValueError("InteractionStack needs at least one layer, and an interaction in each.")
        # Flat, because Keras's file format does not look into lists of lists.
        self.interactions = [each for row in layers for each in row]
        self._sizes = [len(row) for row in layers]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm_{layer}", dtype=dtype)
            for layer in range(len(layers))
        ]

    def build(self, input_shape: Any) -> None:
        """Creates the projections."""
        wide = input_shape[1] * input_shape[2]
        self._back = [
            Dense(wide, name=f"back_{number}", dtype=self._dtype_policy) for number, _ in enumerate(self.interactions)
        ]
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the concatenated fields of the last layer, `[B, F d]`."""
        shape = (-1, fields.shape[1], fields.shape[2])
        each = iter(zip(self.interactions, self._back, strict=True))
        for size, norm in zip(self._sizes, self._norms, strict=True):
            joined = tf.add_n([project(interact(fields)) for interact, project in itertools.islice(each, size)])
            fields = norm(tf.reshape(joined, shape) + fields)
        return tf.reshape(fields, (-1, shape[1] * shape[2]))

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the interactions serialised."""
        each = iter(self.interactions)
        rows = [itertools.islice(each, size) for size in self._sizes]
        serialised = [[keras.saving.serialize_keras_object(layer) for layer in row] for row in rows]
        return {**super().get_config(), "layers": serialised}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InteractionStack:
        """Rebuilds the interactions."""
        rebuilt = [[keras.saving.deserialize_keras_object(each) for each in row] for row in config["layers"]]
        return cls(rebuilt, **{k: v for k, v in config.items() if k != "layers"})
