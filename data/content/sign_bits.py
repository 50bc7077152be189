"""HashIDs of many vectors with NumPy: the signs of random projections, bit by bit those of `fullrank.layers.HashID`.

Layers import nothing of `data`, nor does `data` import layers, so the few lines that both need are written twice; a
test holds them together.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

MOST_DIMENSIONS: Final = 2**14
LONGEST_CODE: Final = 62
"""Most bits of a HashID that one int64 holds, with values left for a missing one and for a count from 1."""
_PROJECTION_STEPS: Final = 2.0**12
_VECTOR_STEPS: Final = 2.0**24
_BLOCK: Final = 2**16
"""Numbers hashed at a time: intermediate results then fit in the cache of a core, which is ten times as fast."""


def hash_vectors(
    vectors: npt.NDArray[Any], *, bits: int, seed: int, center: npt.ArrayLike | None = None
) -> npt.NDArray[np.int8]:
    """HashIDs of content vectors; two bits differ with probability angle / pi.

    Args:
      vectors: `[n, D]` of real numbers.
      bits: Bits of a HashID.
      seed: Seed of the projections, 0..2^32-1.
      center: `[D]`, subtracted first, e.g. the mean of all vectors; `None` to subtract nothing.

    Returns:
      `[n, bits]` int8 of 0 and 1; -1 throughout where a vector is not finite, or is zero before or after centring.

    Raises:
      ValueError: If D is above 16,384.
    """
    return sign_bits(vectors, normals=projections(bits, dimension=vectors.shape[1], seed=seed), center=center)


def bit_codes(bits: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """HashIDs as whole numbers, as a column of behaviours holds them: bit k of the number is bit k of the HashID.

    Args:
      bits: `[..., K]` of 0 and 1, or -1 throughout where missing.

    Returns:
      `[...]`; -1 where missing.

    Raises:
      ValueError: If K is above 62.
    """
    given = np.asarray(bits, np.int64)
    if given.shape[-1] > LONGEST_CODE:
        raise ValueError(f"A number holds at most {LONGEST_CODE} bits of a HashID. Received: {given.shape[-1]}.")
    codes = (np.maximum(given, 0) << np.arange(given.shape[-1])).sum(axis=-1)
    return np.where((given < 0).any(axis=-1), np.int64(-1), codes)


def projections(bits: int, *, dimension: int, seed: int) -> npt.NDArray[np.float64]:
    """Normal projections `[bits, D]`, as whole multiples of 2^-12.

    Raises:
      ValueError: If D is above 16,384, where sums would no longer be exact.
    """
    if not 1 <= dimension <= MOST_DIMENSIONS:
        raise ValueError(f"HashIDs are made of vectors of 1 to {MOST_DIMENSIONS:,} numbers. Received: {dimension:,}.")
    # The stream of RandomState is frozen for good; a Generator may draw other numbers after an update of NumPy.
    normal = np.random.RandomState(seed).standard_normal((bits, dimension))
    return np.rint(normal * _PROJECTION_STEPS)


def sign_bits(
    vectors: npt.NDArray[Any], *, normals: npt.NDArray[np.float64], center: npt.ArrayLike | None = None
) -> npt.NDArray[np.int8]:
    """Whether each vector lies on the positive side of each hyperplane; see `hash_vectors`.

    Components are rounded to 2^-24 of the largest one. As the projections are whole numbers, too, float64 adds their
    products without rounding, and the order of summation decides nothing.
    """
    rows = max(1, _BLOCK // normals.shape[1])
    shift = None if center is None else np.asarray(center, np.float64)
    starts = range(0, max(len(vectors), 1), rows)
    return np.concatenate([_signs(vectors[start : start + rows], normals, shift) for start in starts])


def _signs(
    vectors: npt.NDArray[Any], normals: npt.NDArray[np.float64], center: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.int8]:
    moved = np.array(vectors, np.float64)
    if center is not None:
        there = (moved != 0).any(axis=1, keepdims=True)
        moved = np.where(there, moved - center, 0.0)
    largest = np.abs(moved).max(axis=1, keepdims=True)
    known = np.isfinite(moved).all(axis=1, keepdims=True) & (largest > 0)
    relative = np.where(known, moved, 0.0) / np.where(known, largest, 1.0)
    products = np.rint(relative * _VECTOR_STEPS) @ normals.T
    return np.where(known, products > 0, np.int8(-1)).astype(np.int8)
