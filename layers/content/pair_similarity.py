"""Pretrained vectors: the similarity of two of them ([Tencent] §3.3), or one as a field by a linear map."""

from __future__ import annotations

from typing import Any, Final, Literal

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.dense import Dense

LARGEST: Final = 1e6
"""Components of a vector beyond plus or minus this are clipped in the dot product."""


@keras.saving.register_keras_serializable(package="fullrank")
@takes(first=Input("[B, n]"), second=Input("[B, n]"))
class PairSimilarity(keras.layers.Layer):
    """[Tencent] Eq. 3: `w_sim = sim(v_u, v_i)`, the cosine or the dot product of a user's and an item's vector.

    The paper turns w_sim into an embedding by `MultipleNumeralSystem`: distances of the pretrained space are
    kept, but not its coordinates, which have no meaning in the ranking model. It is computed and returned in float32,
    or float64 under that policy: bfloat16 would merge the integers of the digits.

    Call arguments:
      first: `[B, n]`.
      second: `[B, n]`. In either, a row with anything that is not a finite number is a missing vector.

    Returns:
      `[B]` float32 (float64): NaN where a vector is missing; a cosine with a zero vector is 0.

    Args:
      similarity: `cosine`, in -1..1, or `dot`, of components clipped to ±1e6.
    """

    def __init__(
        self,
        similarity: Literal["cosine", "dot"] = "cosine",
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        if similarity not in ("cosine", "dot"):
            raise ValueError(f"similarity must be 'cosine' or 'dot'. Received: {similarity!r}.")
        self.similarity = similarity

    def call(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Returns the similarities, `[B]`."""
        exact = exact_dtype(self.compute_dtype)
        first, second = tf.cast(first, exact), tf.cast(second, exact)
        known = tf.reduce_all(tf.math.is_finite(first) & tf.math.is_finite(second), axis=1)
        first, second = (tf.where(known[:, tf.newaxis], vector, tf.zeros([], exact)) for vector in (first, second))
        found = _cosine(first, second) if self.similarity == "cosine" else _dot(first, second)
        return tf.where(known, found, tf.constant(float("nan"), exact))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "similarity": self.similarity}


def _dot(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    first, second = (tf.clip_by_value(vector, -LARGEST, LARGEST) for vector in (first, second))
    return tf.reduce_sum(first * second, axis=1)


def _cosine(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    first, second = _largest_is_one(first), _largest_is_one(second)
    # Squared lengths are at least 1 now, or 0 for a zero vector, which the maximum turns into a cosine of 0.
    squares = [tf.maximum(tf.reduce_sum(tf.square(vector), axis=1), 1.0) for vector in (first, second)]
    cosine = tf.reduce_sum(first * second, axis=1) / tf.sqrt(squares[0] * squares[1])
    return tf.clip_by_value(cosine, -1.0, 1.0)


def _largest_is_one(vector: tf.Tensor) -> tf.Tensor:
    """Scales each row so that its square cannot overflow; neither a cosine nor its gradient depends on the scale."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(vector), axis=1, keepdims=True))
    return tf.math.divide_no_nan(vector, largest)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(vector=Input("[B, n]", known="n"))
class VectorProjection(keras.layers.Layer):
    """`e = W v + b`, and a learned row where the vector is missing.

    Call arguments:
      vector: `[B, n]`; a row with anything that is not a finite number is a missing vector, and numbers are clipped
        to ±1e6.

    Returns:
      `[B, d]`.

    Args:
      width: d.
    """

    def __init__(self, width: int, *, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("VectorProjection", width=width)
        self.width = width
        self._linear = Dense(width, name="linear", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Creates the row of a missing vector."""
        self._missing = self.add_weight(
            name="missing", shape=(self.width,), initializer=keras.initializers.RandomUniform()
        )
        super().build(input_shape)

    def call(self, vector: tf.Tensor) -> tf.Tensor:
        """Returns the field, `[B, d]`."""
        missing = tf.reduce_any(tf.logical_not(tf.math.is_finite(vector)), axis=-1, keepdims=True)
        known = self._linear(tf.clip_by_value(tf.where(missing, tf.zeros([], vector.dtype), vector), -LARGEST, LARGEST))
        return tf.where(missing, tf.cast(self._missing, known.dtype), known)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "width": self.width}
