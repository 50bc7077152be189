"""An expert: an interaction over one embedding set, made non-linear ([Tencent] Figure 1, §4.2)."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts, require_share
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense
from fullrank.layers.dropout import Dropout
from fullrank.layers.split_fields import SplitFields


@runtime_checkable
class ReadsSplit(Protocol):
    """An interaction that uses that examples share some of their fields."""

    def of_split(self, fields: SplitFields) -> tf.Tensor:
        """The interaction of `fields.whole`, `[N, n]`."""


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"), side=Input("[B, m]", known="m", optional=True))
class Expert(keras.layers.Layer):
    """`E = act(W [I(e_1, ..., e_F), side] + b)`: an interaction I, then a non-linear projection to the common width H.

    The non-linearity is what makes several embedding sets more than one wide set (§4.2). Inputs that do not interact by
    field, such as an encoded behaviour sequence, join *after* the interaction, as in §3.1.

    Call arguments:
      fields: `[B, F, d]` of the expert's set.
      side: `[B, m]` of the same set, or `None`.

    Returns:
      `[B, H]`.

    Args:
      interaction: Layer from `[B, F, d]` to `[B, n]`.
      width: H.
      activation: Non-linearity of the projection.
      dropout: Share of the H outputs dropped in training.
    """

    def __init__(
        self,
        interaction: keras.layers.Layer,
        width: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("Expert", width=width)
        require_share("Expert", dropout=dropout)
        self.interaction = interaction
        self.width = width
        self.activation = activation
        self.dropout = dropout
        self._projection = Dense(width, activation=activation, name="projection", dtype=dtype)
        self._drop = Dropout(dropout, name="dropout", dtype=dtype)

    def call(self, fields: tf.Tensor, side: tf.Tensor | None = None, training: bool | None = None) -> tf.Tensor:
        """Returns the expert's output, `[B, H]`."""
        hidden = self._projected(self.interaction(fields), side)
        return self._drop(hidden, training=training) if self.dropout else hidden

    def of_split(self, fields: SplitFields, side: tf.Tensor | None = None) -> tf.Tensor:
        """Returns what `call` does for `fields.whole`, without dropout.

        An interaction that has `of_split` computes once what depends on the shared fields alone. Needs `build`.
        """
        splits = isinstance(self.interaction, ReadsSplit)
        return self._projected(self.interaction.of_split(fields) if splits else self.interaction(fields.whole), side)

    def _projected(self, interacted: tf.Tensor, side: tf.Tensor | None) -> tf.Tensor:
        if side is not None:
            interacted = tf.concat([interacted, tf.cast(side, interacted.dtype)], axis=1)
        return self._projection(interacted)

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the interaction serialised."""
        own = {"width": self.width, "activation": self.activation, "dropout": self.dropout}
        return {**super().get_config(), **own, "interaction": keras.saving.serialize_keras_object(self.interaction)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Expert:
        """Rebuilds the interaction."""
        interaction = keras.saving.deserialize_keras_object(config["interaction"])
        return cls(interaction, **{k: v for k, v in config.items() if k != "interaction"})
