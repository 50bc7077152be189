"""CIN: explicit interactions of growing order, compressed to feature maps (xDeepFM, Lian et al. 2018; [Tencent] §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class CompressedInteraction(keras.layers.Layer):
    """`X^k_h = act(sum_{i,j} W^k_{hij} X^{k-1}_i * X^0_j)`, element-wise, with `X^0 = (e_1, ..., e_F)`.

    Layer k has H_k feature maps of width d; each is summed over d, `p^k_h = sum_d X^k_{h,d}`, and the output is the
    sums of all layers. There is no bias. The paper finds the identity the best activation, so it is the default; it
    feeds all maps of a layer to the next one, as here.

    Departure: xDeepFM adds a linear part and a perceptron to CIN; here they are separate experts, or left out.

    A layer is one product of `[B d, H_{k-1} F]` with `[H_{k-1} F, H_k]`: the outer products of a batch are formed,
    which takes B d H F numbers, as in every implementation of CIN.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, sum_k H_k]`.

    Args:
      maps: H_k of each layer.
      activation: Activation of each layer's feature maps.

    Raises:
      ValueError: If there is no layer.
    """

    def __init__(
        self,
        maps: Sequence[int] = (32, 32),
        *,
        activation: str = "linear",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("CompressedInteraction", maps=tuple(maps))
        self.maps = tuple(maps)
        self.activation = activation
        if not self.maps:
            raise ValueError("CompressedInteraction needs the number of maps of one layer or more. Received none.")
        self._compress = [
            keras.layers.Dense(number, activation=activation, use_bias=False, name=f"compress_{layer}", dtype=dtype)
            for layer, number in enumerate(self.maps)
        ]

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the sums of all feature maps, `[B, sum_k H_k]`."""
        number, width = fields.shape[1], fields.shape[2]
        first = tf.transpose(fields, (0, 2, 1))
        current, sums = first, []
        for compress in self._compress:
            products = current[:, :, :, tf.newaxis] * first[:, :, tf.newaxis, :]
            current = compress(tf.reshape(products, (-1, width, current.shape[2] * number)))
            sums.append(tf.reduce_sum(current, axis=1))
        return tf.concat(sums, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "maps": self.maps, "activation": self.activation}
