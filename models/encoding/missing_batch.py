"""A batch in which everything is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from fullrank.data.schema.columns import Column


def missing_batch(columns: Iterable[Column], size: Any) -> dict[str, tf.Tensor]:
    """Missing values in the right shapes and dtypes.

    Args:
      columns: Columns of a schema.
      size: Rows, a number or a scalar tensor.
    """
    dtypes = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}
    return {
        column.name: tf.fill(
            [size] if column.form == "one" else [size, column.length],
            tf.constant(column.missing, dtypes[column.dtype]),
        )
        for column in columns
    }
