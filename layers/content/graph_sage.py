"""The mean aggregator of GraphSAGE (Hamilton et al. 2017), the graph encoder of [Tencent] §3.3."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, known_places, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(state=Input("[..., d]", known="d"), neighbours=Input("[..., S, d]"), mask=Input("[..., S]", kind="bool"))
class MeanAggregator(keras.layers.Layer):
    """One step of GraphSAGE: a node's new state from its own and the mean of its neighbours' (algorithm 1, lines 4-7).

        h_N(v) = mean({h_u : u in N(v)})
        h_v'   = activation(W [h_v ; h_N(v)]),   h_v' <- h_v' / ||h_v'||_2

    A node without neighbours has h_N(v) = 0. N(v) may be a sample with repetition, as in training, or all neighbours.
    Mean and norm are taken in float32 at least. No bias, as printed.

    Call arguments:
      state: `[..., d]`, h_v.
      neighbours: `[..., S, d]`, h_u.
      mask: `[..., S]` bool, false where there is no neighbour; the values there do not matter, even NaN.

    Returns:
      `[..., units]` of length 1, or all zeros where `activation` leaves only zeros.

    Args:
      units: Width of the new state, at least 1.
      activation: Default `relu`. The last step of a network takes `linear`, as the authors' code does: after a ReLU
        no cosine could be negative.
    """

    def __init__(
        self,
        units: int,
        *,
        activation: Any = "relu",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("MeanAggregator", units=units)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Creates W `[2 d, units]`: its first d rows read the node, the others its neighbours."""
        if input_shape[-1] is None:
            raise ValueError(f"MeanAggregator needs states of known width, [..., d]. Received: {input_shape}.")
        self._kernel = self.add_weight(name="kernel", shape=(2 * input_shape[-1], self.units))
        super().build(input_shape)

    def call(self, state: tf.Tensor, neighbours: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the new states, `[..., units]`."""
        exact = exact_dtype(self.compute_dtype)
        number = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1, keepdims=True), 1)
        known = tf.cast(known_places(neighbours, mask), exact)
        mean = tf.reduce_sum(known, axis=-2) / tf.cast(number, exact)
        both = tf.concat([state, tf.cast(mean, state.dtype)], axis=-1)
        changed = self.activation(tf.tensordot(both, self._kernel, 1))
        return tf.cast(tf.math.l2_normalize(tf.cast(changed, exact), axis=-1), changed.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"units": self.units, "activation": keras.activations.serialize(self.activation)}
        return {**super().get_config(), **own}
