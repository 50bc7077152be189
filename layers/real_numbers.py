"""What the layers that embed real numbers have in common: numbers in, for each a field out, NaN for a missing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def as_columns(values: tf.Tensor) -> tf.Tensor:
    """Numbers `[B]` or `[B, n]` as `[B, n]`, one number being the case of n = 1.

    Returns:
      float64 for float64 and integers, which float32 would round (a time in seconds by up to a minute); else float32.
    """
    numbers = tf.cast(values, tf.float64 if values.dtype.is_integer or values.dtype == tf.float64 else tf.float32)
    return numbers[:, tf.newaxis] if values.shape.rank == 1 else numbers


def columns_in(input_shape: Any, *, layer: str) -> int:
    """How many numbers an example has, given the shape of a layer's input.

    Raises:
      ValueError: If the input is neither `[B]` nor `[B, n]`; the message names the layer.
    """
    if len(input_shape) not in (1, 2):
        raise ValueError(f"Layer {layer!r} takes numbers of shape [B] or [B, n]. Received: {tuple(input_shape)}.")
    return 1 if len(input_shape) == 1 else int(input_shape[-1])


def per_column(given: Sequence[Any] | float, *, columns: int, rank: int, layer: str) -> npt.NDArray[np.float64]:
    """An argument that is one for all numbers, or one a number, as an array with one entry a number.

    Args:
      given: The argument.
      columns: n.
      rank: Axes of the result: 1 where each number has a scalar, 2 where each has a list.
      layer: Name for the error.

    Raises:
      ValueError: If it has neither one nor n entries.
    """
    table = np.array(given, np.float64, ndmin=rank)
    if table.shape[0] not in (1, columns):
        raise ValueError(f"Layer {layer!r} has arguments for {table.shape[0]} numbers. Received: {columns} numbers.")
    return np.broadcast_to(table, (columns, *table.shape[1:]))


def with_missing(embedded: tf.Tensor, values: tf.Tensor, missing_rows: tf.Tensor) -> tf.Tensor:
    """Fields `[B, n, d]` with the row of a missing number (of `[n, d]`) where the value is NaN, `[B, d]` for `[B]`."""
    missing = tf.math.is_nan(as_columns(values))[:, :, tf.newaxis]
    embedded = tf.where(missing, tf.cast(missing_rows, embedded.dtype), embedded)
    return embedded[:, 0] if values.shape.rank == 1 else embedded
