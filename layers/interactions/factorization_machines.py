"""FM and its relatives, with one weight or one embedding for each pair of fields ([Tencent] §4.3, §4.4).

FM is the sum of the element-wise products of all field pairs (Rendle 2010). FwFM has a trained weight for each pair
(Pan et al. 2018), and FFM an embedding of a feature for each field that it may meet (Juan et al. 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, exact_dtype, takes


def pair_count(number: int, *, diagonal: bool = False) -> int:
    """Number of unordered pairs of `number` items; with `diagonal` an item also makes a pair with itself."""
    return number * (number + 1) // 2 if diagonal else number * (number - 1) // 2


def pair_places(number: int, *, diagonal: bool = False) -> np.ndarray[Any, Any]:
    """The place of each pair's weight, `[n, n]`, symmetric, counted from 1 in the order (1,2), (1,3), ..., (n-1,n).

    Args:
      number: n.
      diagonal: Whether an item makes a pair with itself, in the order (1,1), (1,2), ..., (n,n); its place is 0 if not.
    """
    first, second = np.triu_indices(number, k=0 if diagonal else 1)
    places = np.zeros((number, number), np.int32)
    places[first, second] = places[second, first] = np.arange(len(first)) + 1
    return places


def symmetric(weights: tf.Tensor, number: int) -> tf.Tensor:
    """The symmetric matrix `[n, n]` of the weights of pairs, zero on its diagonal.

    Args:
      weights: `[n (n-1) / 2]`.
      number: n.
    """
    # Padding makes the gradient a dense tensor.
    return tf.gather(tf.pad(weights, [[1, 0]]), pair_places(number))


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]"))
class FactorizationMachine(keras.layers.Layer):
    """All pairs at the cost of one sum: `sum_{i<j} e_i * e_j = ((sum_i e_i)^2 - sum_i e_i^2) / 2`, element-wise.

    The d dimensions are kept, as an expert needs them; their sum is the pairwise part of the FM paper, whose bias
    and linear term are left out: an expert is projected afterwards. The squares are taken
    in float32 at least, because their difference cancels.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, d]`.
    """

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the summed products, `[B, d]`."""
        exact = tf.cast(fields, exact_dtype(fields.dtype))
        pairs = 0.5 * (tf.square(tf.reduce_sum(exact, axis=1)) - tf.reduce_sum(tf.square(exact), axis=1))
        return tf.cast(pairs, fields.dtype)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F"))
class FieldWeightedFM(keras.layers.Layer):
    """`sum_{i<j} r_ij e_i * e_j`, element-wise, with one trained r for each pair of fields.

    With R symmetric and zero on its diagonal it is `1/2 sum_i e_i * (R e)_i`: one product of matrices, O(F^2 d). The d
    dimensions are kept, as an expert needs them; their sum is the scalar of the paper. Weights start at 1, which is FM.

    Departure: FwFM also has a bias and a linear term, `sum_i <e_i, w_{F(i)}>` in its best form. This layer has neither;
    another expert, such as `FlatDNN`, reads the fields themselves.

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


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class FieldAwareFM(keras.layers.Layer):
    """`sum_{i<j} v_{i,F(j)} * v_{j,F(i)}`, element-wise.

    A field's row of width d is cut into F embeddings of width k = d / F, one per partner; the one for the field itself
    is never used. All pairs are one product of `[B, F, F, k]` with its own transpose.

    Departures: FFM has a linear term and a bias; this layer has neither, like the other experts. FFM chooses a k that
    is small compared with the width of other models; here the width d of the set gives `k = d / F`.

    Call arguments:
      fields: `[B, F, d]`, d a multiple of F.

    Returns:
      `[B, d / F]`; its sum is the scalar of the paper.

    Raises:
      ValueError: If d is not a multiple of F.
    """

    def build(self, input_shape: Any) -> None:
        """Checks that a row can be cut."""
        if input_shape[2] % input_shape[1]:
            raise ValueError(
                f"FieldAwareFM cuts an embedding into one for each of {input_shape[1]} fields, so its width must be a "
                f"multiple of {input_shape[1]}. Received: {input_shape}. GroupWeightedFM needs fewer parts."
            )
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the summed products, `[B, d / F]`."""
        number, width = fields.shape[1], fields.shape[2] // fields.shape[1]
        towards = tf.reshape(fields, (-1, number, number, width))
        pairs = np.triu(np.ones((number, number)), k=1)[:, :, np.newaxis]
        products = towards * tf.transpose(towards, (0, 2, 1, 3)) * tf.constant(pairs, fields.dtype)
        return tf.reduce_sum(products, axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())
