"""FwFM: FM with a trained weight for each field pair (Pan et al. 2018; what [Tencent] §4.3 groups)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.pair_weights import pair_count, symmetric


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F"))
class FieldWeightedFM(keras.layers.Layer):
    """`sum_{i<j} r_ij e_i * e_j`, element-wise, with one trained r for each pair of fields.

    With R symmetric and zero on its diagonal it is `1/2 sum_i e_i * (R e)_i`: one product of matrices, O(F^2 d). The d
    dimensions are kept, as an expert needs them; their sum is the scalar of the paper. Weights start at 1, which is FM.

    Departure: FwFM also has a bias and a linear term, `sum_i <e_i, w_{F(i)}>` in its best form. Here is neither; the
    fields themselves are what another expert beside this one, such as `FlatDNN`, is for.

    Call arguments:
      fields: `[B, F, d]`, F >= 2.

    Returns:
      `[B, d]`.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the pair weights."""
        if input_shape[1] is None or input_shape[1] < 2:
            raise ValueError(f"FieldWeightedFM needs at least two fields, [B, F >= 2, d]. Received: {input_shape}.")
        shape = (pair_count(input_shape[1]),)
        self.pair_weights = self.add_weight(name="pair_weights", shape=shape, initializer="ones")
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the weighted products, summed, `[B, d]`."""
        weights = tf.cast(symmetric(self.pair_weights, fields.shape[1]), fields.dtype)
        return 0.5 * tf.reduce_sum(fields * tf.matmul(weights, fields), axis=1)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
