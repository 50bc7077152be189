"""The numbers of an example as columns, each with its own weights: functions that all layers for numbers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.remote_rows import gather_rows


def as_columns(values: tf.Tensor) -> tf.Tensor:
    """Numbers `[B]` or `[B, n]` as `[B, n]`, one number being the case of n = 1.

    Returns:
      float64 for float64 and integers, which float32 would round (a time in seconds by up to a minute); else float32.
    """
    numbers = tf.cast(values, tf.float64 if values.dtype.is_integer or values.dtype == tf.float64 else tf.float32)
    return numbers[:, tf.newaxis] if values.shape.rank == 1 else numbers


def columns_in(input_shape: Any, *, layer: str) -> int:
    """Number of numbers in an example, given the shape of a layer's input.

    Raises:
      ValueError: If the input is neither `[B]` nor `[B, n]`; the message names the layer.
    """
    if len(input_shape) not in (1, 2):
        raise ValueError(f"Layer {layer!r} takes numbers of shape [B] or [B, n]. Received: {tuple(input_shape)}.")
    return 1 if len(input_shape) == 1 else int(input_shape[-1])


def per_column(given: Sequence[Any] | float, *, columns: int, rank: int, layer: str) -> npt.NDArray[np.float64]:
    """An argument that is one for all numbers, or one per number, as an array with one entry per number.

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


def ascending(given: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """One list of edges, or one per number, as an array `[1, K]` or `[n, K]`; `None` if one is NaN or a list falls."""
    table = np.array(given, np.float64, ndmin=2)
    return table if (table[:, 1:] >= table[:, :-1]).all() and not np.isnan(table).any() else None


LARGEST_NUMBER: Final = 1e6
"""Standardised numbers beyond plus or minus this are clipped before they are multiplied by a weight."""


def known_numbers(numbers: tf.Tensor, *, limit: float | None = None) -> tf.Tensor:
    """Numbers with 0 in place of NaN, so that gradients stay finite, and clipped to ±`limit` if there is one."""
    known = tf.where(tf.math.is_nan(numbers), tf.zeros([], numbers.dtype), numbers)
    return known if limit is None else tf.clip_by_value(known, -limit, limit)


def add_missing_rows(layer: keras.layers.Layer, *, columns: int, width: int) -> tf.Variable:
    """Adds the weight `missing`, `[n, d]`: one row per number, for examples where the number is missing."""
    return layer.add_weight(
        name="missing", shape=(columns, width), initializer=keras.initializers.RandomUniform(-0.05, 0.05)
    )


def with_missing(embedded: tf.Tensor, values: tf.Tensor, missing_rows: tf.Tensor) -> tf.Tensor:
    """Fields `[B, n, d]` with the row of a missing number (of `[n, d]`) where the value is NaN, `[B, d]` for `[B]`."""
    missing = tf.math.is_nan(as_columns(values))[:, :, tf.newaxis]
    return shaped_like(tf.where(missing, tf.cast(missing_rows, embedded.dtype), embedded), values)


def shaped_like(embedded: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Fields `[B, n, d]` as they are for values `[B, n]`, and `[B, d]` for values `[B]`."""
    return embedded[:, 0] if values.shape.rank == 1 else embedded


def add_stacked_tables(layer: keras.layers.Layer, *, name: str, columns: int, rows: int, width: int) -> tf.Variable:
    """Adds a weight `[n rows, d]` that holds one table per number, stacked by rows."""
    return layer.add_weight(
        name=name, shape=(columns * rows, width), initializer=keras.initializers.RandomUniform(-0.05, 0.05)
    )


def gather_stacked(tables: tf.Tensor, places: tf.Tensor, *, rows: int) -> tf.Tensor:
    """Looks rows up in the table of each number.

    Args:
      tables: `[n rows, d]`, the tables of n numbers stacked by rows.
      places: `[B, n]` or `[B, n, K]` int64, rows within the table of each number.
      rows: Rows of one table.

    Returns:
      `[B, n, d]` or `[B, n, K, d]`.
    """
    starts = rows * tf.range(places.shape[1], dtype=tf.int64)
    return gather_rows(tables, places + tf.reshape(starts, [-1, *[1] * (places.shape.rank - 2)]))
