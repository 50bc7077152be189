"""One trained weight for each unordered pair, laid out as the symmetric matrix that batched products take."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def pair_count(number: int, *, diagonal: bool = False) -> int:
    """Unordered pairs of `number` things; with `diagonal` also those of a thing with itself."""
    return number * (number + 1) // 2 if diagonal else number * (number - 1) // 2


def symmetric(weights: tf.Tensor, number: int, *, diagonal: bool = False) -> tf.Tensor:
    """The symmetric matrix `[n, n]` of weights in the order (1,2), (1,3), ..., (n-1,n).

    Args:
      weights: `[pairs]`; with `diagonal` in the order (1,1), (1,2), ..., (n,n).
      number: n.
      diagonal: Whether there are weights on the diagonal, which is zero otherwise.
    """
    first, second = np.triu_indices(number, k=0 if diagonal else 1)
    place = np.zeros((number, number), np.int32)
    place[first, second] = place[second, first] = np.arange(len(first)) + (0 if diagonal else 1)
    padded = weights if diagonal else tf.pad(weights, [[1, 0]])
    return tf.gather(padded, place)
