"""HashID: a content vector as the signs of random projections ([Tencent] §3.2, deployment details)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes

MOST_DIMENSIONS: Final = 2**14
_PROJECTION_STEPS: Final = 2.0**12
_VECTOR_STEPS: Final = 2.0**24


@keras.saving.register_keras_serializable(package="fullrank")
@takes(vectors=Input("[B, n]", known="n"))
class HashID(keras.layers.Layer):
    """Locality-sensitive hashing of a content vector to `bits` bits, the id that replaces a meaningless number.

    The paper hashes visual vectors of ads so that "the hamming distance of two similar ads will be smaller than that of
    two dissimilar ads". It names locality-sensitive hashing; the family is our choice: bit `k` is `[<r_k, v - c> > 0]`
    with `r_k` standard normal. `r_k` is normal to a random hyperplane, which separates two vectors in proportion to
    the angle between them. So with `theta = arccos(cos(v - c, w - c))`

        P(bit k differs) = theta / pi,    expected Hamming distance = bits * theta / pi.

    Vectors of most vision models lie in one cone: their angles are small, so most bits are the same for all of them.
    Subtracting their mean (`center`) spreads them over all directions; the relation then holds for the centred vectors.

    Projections follow from `seed` and n alone, and those of 32 bits are the first of those of 64. Components are
    rounded to 2^-24 of the largest one and projections to 2^-12, as integers whose products float64 adds without
    rounding. So every machine and every order of summation gives the same bits, as does
    `fullrank hash-id`.

    Call arguments:
      vectors: `[B, n]`, n at most 16,384. A row with anything that is not a finite number is a missing vector, and so
        is one without direction: zero, before or after centring.

    Returns:
      `[B, bits]` int64: 0 or 1, or all -1 where the vector is missing. `BitCode` embeds them.

    Args:
      bits: K.
      seed: Seed of the projections, 0..2^32-1.
      center: c, n numbers; `None` for zero.
    """

    def __init__(
        self,
        bits: int,
        *,
        seed: int,
        center: Sequence[float] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        if not 0 <= seed < 2**32:
            raise ValueError(f"HashID needs a seed in 0..2^32-1. Received: {seed}.")
        require_counts("HashID", bits=bits)
        self.bits = bits
        self.seed = seed
        self.center = None if center is None else tuple(float(number) for number in center)

    def build(self, input_shape: Any) -> None:
        """Draws the projections."""
        dimension = input_shape[-1]
        if len(input_shape) != 2 or dimension is None:
            raise ValueError(f"{self.name} takes vectors of known width, [B, n]. Received: {tuple(input_shape)}.")
        if self.center is not None and len(self.center) != dimension:
            raise ValueError(f"{self.name}: the center has {len(self.center)} numbers, the vectors have {dimension}.")
        self._projections = projections(self.bits, dimension=dimension, seed=self.seed)
        super().build(input_shape)

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Returns the bits, `[B, bits]` int64."""
        vectors = tf.cast(vectors, tf.float64)
        if self.center is not None:
            there = tf.reduce_any(tf.not_equal(vectors, 0), axis=1, keepdims=True)
            vectors = tf.where(there, vectors - tf.constant(self.center, tf.float64), tf.zeros([], tf.float64))
        return sign_bits(vectors, tf.constant(self._projections))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "bits": self.bits, "seed": self.seed, "center": self.center}


def projections(bits: int, *, dimension: int, seed: int) -> npt.NDArray[np.float64]:
    """Normal projections `[bits, n]`, as whole multiples of 2^-12. `fullrank.data.content.sign_bits` draws the same.

    Raises:
      ValueError: If n is above 16,384, where sums would no longer be exact.
    """
    if not 1 <= dimension <= MOST_DIMENSIONS:
        raise ValueError(f"HashID takes vectors of 1 to {MOST_DIMENSIONS:,} numbers. Received: {dimension:,}.")
    # The stream of RandomState is frozen for good; a Generator may draw other numbers after an update of NumPy.
    normal = np.random.RandomState(seed).standard_normal((bits, dimension))
    return np.rint(normal * _PROJECTION_STEPS)


def sign_bits(vectors: tf.Tensor, normals: tf.Tensor) -> tf.Tensor:
    """Whether each vector is on the positive side of each hyperplane.

    Args:
      vectors: `[B, n]` float64.
      normals: `[K, n]` float64, of whole numbers.

    Returns:
      `[B, K]` int64: 1 if the product is above 0, else 0; -1 throughout where a vector is not finite or zero.
    """
    largest = tf.reduce_max(tf.abs(vectors), axis=1, keepdims=True)
    known = tf.reduce_all(tf.math.is_finite(vectors), axis=1, keepdims=True) & (largest > 0)
    relative = tf.where(known, vectors / tf.where(known, largest, tf.ones([], tf.float64)), tf.zeros([], tf.float64))
    products = tf.matmul(tf.round(relative * _VECTOR_STEPS), normals, transpose_b=True)
    return tf.where(known, tf.cast(products > 0, tf.int64), tf.constant(-1, tf.int64))
