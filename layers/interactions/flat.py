"""The flat expert: a multi-layer perceptron on the concatenated fields ([Tencent] §4.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts, require_share
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense
from fullrank.layers.dropout import Dropout
from fullrank.layers.split_fields import SplitFields


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class FlatDNN(keras.layers.Layer):
    """Dense layers on the concatenated fields: `h_0 = [e_1, ..., e_F]`, `h_l = act(W_l h_{l-1} + b_l)`.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, units[-1]]`; `[B, F d]` if there are no hidden layers.

    Args:
      units: Widths of the hidden layers.
      activation: Activation after each.
      dropout: Share of units dropped after each, in training.
    """

    def __init__(
        self,
        units: tuple[int, ...] = (),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("FlatDNN", units=tuple(units))
        require_share("FlatDNN", dropout=dropout)
        self.units = tuple(units)
        self.activation = activation
        self.dropout = dropout
        self._dense = [Dense(u, activation=activation, name=f"dense_{i}", dtype=dtype) for i, u in enumerate(units)]
        self._drop = [Dropout(dropout, name=f"dropout_{i}", dtype=dtype) for i, _ in enumerate(units)]

    def call(self, fields: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the last hidden layer, `[B, units[-1]]`."""
        hidden = tf.reshape(fields, (-1, fields.shape[1] * fields.shape[2]))
        for dense, drop in zip(self._dense, self._drop, strict=True):
            hidden = dense(hidden)
            if self.dropout:
                hidden = drop(hidden, training=training)
        return hidden

    def of_split(self, fields: SplitFields) -> tf.Tensor:
        """Returns what `call` does for `fields.whole`, without dropout; the first product is split. Needs `build`."""
        if not self._dense:
            return self(fields.whole)
        hidden = fields.through(self._dense[0])
        for dense in self._dense[1:]:
            hidden = dense(hidden)
        return hidden

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"units": self.units, "activation": self.activation, "dropout": self.dropout}
        return {**super().get_config(), **own}
