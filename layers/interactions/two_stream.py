"""FinalMLP: two gated perceptrons, fused by a bilinear product (Mao et al. 2023; an expert for [Tencent] §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts, require_share
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense
from fullrank.layers.interactions.flat import FlatDNN


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class TwoStream(keras.layers.Layer):
    """Two perceptrons read the same fields through separate gates, and are combined by one product per head.

        x_s = x * 2 sigma(Gate_s(c_s)),   o_s = MLP_s(x_s),   out = [o_1, o_2, (o_1^a W_a * o_2^a) for each head a]

    with x = [e_1, ..., e_F] and o^a the a-th piece of o. A gate reads the fields c_s that its stream should focus on
    (in the paper the user for one, the item for the other), or a trained vector if it is given none.

    Departures: FinalMLP gives each stream its own hidden layers, of different width and depth (and activation and
    dropout); here both have the same `units`, since the product needs heads of equal width at the end. FinalMLP ends in
    a logit, `b + w_1 o_1 + w_2 o_2 + sum_a o_1^a W_a o_2^a`. An expert needs a vector for its projection, so the sums
    are left to it: with weights w_1, w_2, and ones for the last part, it is that logit.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, 3 n]`, n the last of `units`.

    Args:
      units: Hidden layers of each stream.
      heads: Number of heads; n must be a multiple of it.
      contexts: Numbers of the fields that the gate of each stream reads, as two sequences.
      gate: Width of a gate's hidden layer.
      dropout: Share of units dropped in training.

    Raises:
      ValueError: If n is not a multiple of `heads`, or there are not two contexts.
    """

    def __init__(
        self,
        units: Sequence[int] = (64,),
        *,
        heads: int = 4,
        contexts: Sequence[Sequence[int]] = ((), ()),
        gate: int = 32,
        dropout: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not units or heads < 1 or units[-1] % heads:
            raise ValueError(f"The last of units must be a multiple of heads. Received: units={units}, heads={heads}.")
        if len(contexts) != 2:
            raise ValueError(f"contexts must hold the fields of two gates. Received: {contexts}.")
        require_counts("TwoStream", units=tuple(units), heads=heads, gate=gate)
        require_share("TwoStream", dropout=dropout)
        self.units = tuple(units)
        self.heads = heads
        self.contexts = tuple(tuple(fields) for fields in contexts)
        self.gate = gate
        self.dropout = dropout
        self._streams = [FlatDNN(self.units, dropout=dropout, name=f"stream_{s}", dtype=dtype) for s in range(2)]
        self._hidden = [Dense(gate, activation="relu", name=f"gate_hidden_{s}", dtype=dtype) for s in range(2)]

    def build(self, input_shape: Any) -> None:
        """Creates the gates' outputs and the bilinear kernel."""
        number, width = input_shape[1], input_shape[2]
        beyond = [field for fields in self.contexts for field in fields if not 0 <= field < number]
        if beyond:
            raise ValueError(f"contexts name field {beyond[0]}, but there are {number}, counted from 0.")
        policy = self._dtype_policy
        self._open = [Dense(number * width, name=f"gate_{s}", dtype=policy) for s in range(2)]
        self._constants = [
            None if fields else self.add_weight(name=f"context_{s}", shape=(1, width), initializer="ones")
            for s, fields in enumerate(self.contexts)
        ]
        piece = self.units[-1] // self.heads
        self._bilinear = self.add_weight(
            name="bilinear", shape=(self.heads, piece, piece), initializer=keras.initializers.GlorotUniform()
        )
        super().build(input_shape)

    def call(self, fields: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns both streams and their product, `[B, 3 n]`."""
        first, second = (
            stream(fields * self._opened(number, fields), training=training)
            for number, stream in enumerate(self._streams)
        )
        pieces = tf.transpose(tf.reshape(first, (-1, self.heads, self.units[-1] // self.heads)), (1, 0, 2))
        turned = tf.transpose(tf.matmul(pieces, tf.cast(self._bilinear, first.dtype)), (1, 0, 2))
        return tf.concat([first, second, tf.reshape(turned, (-1, self.units[-1])) * second], axis=1)

    def _opened(self, stream: int, fields: tf.Tensor) -> tf.Tensor:
        number, width, read = fields.shape[1], fields.shape[2], self.contexts[stream]
        constant = self._constants[stream]
        if constant is None:
            context = tf.reshape(tf.gather(fields, np.array(read), axis=1), (-1, len(read) * width))
        else:
            context = tf.cast(constant, fields.dtype)
        return tf.reshape(2.0 * tf.sigmoid(self._open[stream](self._hidden[stream](context))), (-1, number, width))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"units": self.units, "heads": self.heads, "contexts": self.contexts, "gate": self.gate}
        return {**super().get_config(), **own, "dropout": self.dropout}
