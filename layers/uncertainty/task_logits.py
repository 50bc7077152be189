"""Uncertain logits of one or several tasks ([Tencent] §6.4): checks of inputs and base rates, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras


class GaussianLogits(NamedTuple):
    """An uncertain logit f: `f ~ N(mean, variance)`.

    Attributes:
      mean: `[B]`, or `[B, T]` for T tasks; float32.
      variance: Of the same shape, positive.
    """

    mean: tf.Tensor
    variance: tf.Tensor


class TaskAxis(NamedTuple):
    """The tasks that the inputs of a layer belong to.

    Attributes:
      several: Whether the inputs have an axis of tasks: `[B, T, U]`, not `[B, U]`.
      tasks: T; 1 for inputs `[B, U]`.
      width: U.
    """

    several: bool
    tasks: int
    width: int


def task_axis(layer: str, input_shape: Sequence[int | None]) -> TaskAxis:
    """Reads the shape of inputs `[B, U]` or `[B, T, U]`.

    Args:
      layer: Name of the class, for the error.
      input_shape: As `build` is given it.

    Raises:
      ValueError: For another rank, or if T or U is unknown.
    """
    sizes = [size for size in input_shape[1:] if size]
    if len(input_shape) not in (2, 3) or len(sizes) != len(input_shape) - 1:
        raise ValueError(f"{layer} needs inputs [B, U] or [B, T, U]. Received: {tuple(input_shape)}.")
    return TaskAxis(several=len(sizes) == 2, tasks=sizes[0] if len(sizes) == 2 else 1, width=sizes[-1])


def by_example(values: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Reshapes `[T, B]` to match the inputs: `[B]` for `[B, U]`, `[B, T]` for `[B, T, U]`."""
    return values[0] if inputs.shape.rank == 2 else tf.transpose(values)


def checked_base_rate(base_rate: float | Sequence[float]) -> float | tuple[float, ...]:
    """Returns the shares of positives, one number or one per task, as plain numbers.

    Raises:
      ValueError: If one is not between 0 and 1.
    """
    rates = np.ravel(base_rate)
    if not ((rates > 0.0) & (rates < 1.0)).all():
        raise ValueError(f"base_rate must lie between 0 and 1, both excluded. Received: {base_rate}.")
    return float(rates[0]) if np.ndim(base_rate) == 0 else tuple(float(rate) for rate in rates)


def prior_logits(base_rate: float | Sequence[float], *, tasks: int) -> np.ndarray:
    """`log(r / (1 - r))` of each task, `[T]` float64.

    Raises:
      ValueError: If there are several rates, but not T.
    """
    rates = np.ravel(base_rate)
    if len(rates) not in (1, tasks):
        raise ValueError(f"base_rate needs one number, or one for each of {tasks} tasks. Received: {len(rates)}.")
    return np.broadcast_to(np.log(rates) - np.log1p(-rates), (tasks,))


def float32_weight(
    layer: keras.layers.Layer,
    name: str,
    shape: tuple[int, ...],
    initializer: Any,
    *,
    trainable: bool,
    aggregation: tf.VariableAggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA,
) -> tf.Variable:
    """Adds a weight that stays in float32 for any compute dtype: a lower precision would lose the variance."""
    return layer.add_weight(
        name=name,
        shape=shape,
        dtype="float32",
        initializer=initializer,
        trainable=trainable,
        experimental_autocast=False,
        aggregation=aggregation,
    )
