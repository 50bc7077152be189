"""Weights of examples, as everything that trains or measures reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def example_weights(batch: Mapping[str, Any], weight: str | None) -> Any:
    """Weights of the examples of a batch, `[B]`; 1 where a weight is missing.

    Args:
      batch: Columns, tensors or arrays.
      weight: Column of the weights.

    Returns:
      A tensor or array, as the column is; `None` if `weight` is.
    """
    if weight is None:
        return None
    given = batch[weight]
    if isinstance(given, np.ndarray):
        return np.where(np.isnan(given), np.ones_like(given), given)
    return tf.where(tf.math.is_nan(given), tf.ones_like(given), given)
