"""One trained weight for each unordered pair, laid out as the symmetric matrix that batched products take."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def pair_count(number: int, *, diagonal: bool = False) -> int:
    """Unordered pairs of `number` things; with `diagonal` also those of a thing with itself."""
    return number * (number + 1) // 2 if diagonal else number * (number - 1) // 2


def pair_places(number: int, *, diagonal: bool = False) -> np.ndarray[Any, Any]:
    """The place of each pair's weight, `[n, n]`, symmetric, counted from 1 in the order (1,2), (1,3), ..., (n-1,n).

    Args:
      number: n.
      diagonal: Whether a thing makes a pair with itself, in the order (1,1), (1,2), ..., (n,n); its place is 0 if not.
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
    # The gradient of what is padded is a dense one.
    return tf.gather(tf.pad(weights, [[1, 0]]), pair_places(number))
