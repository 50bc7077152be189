"""Columns of a batch that hold one row per request, for models that compute the user's part once."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from fullrank.data.schema.features import Sequence
from fullrank.data.schema.schema import Schema


class PerRequest(tf.experimental.ExtensionType):
    """A column of a batch that is held once for all rows of a request.

    Attributes:
      values: The column, `[R, ...]`.
      owner: The request of each row, int32 `[B]`: ascending, from 0 to R - 1.
    """

    values: tf.Tensor
    owner: tf.Tensor

    def of_rows(self) -> tf.Tensor:
        """The column with one row per row of the batch, `[B, ...]`."""
        return tf.gather(self.values, self.owner)


def shared_histories(schema: Schema, *, per_request: Collection[str]) -> frozenset[str]:
    """The columns of sequences that a model may read once per request.

    These are sequences all of whose columns are held once per request, and, if they have times, the event time, too,
    from which their intervals are measured. A column that another feature reads as well is left out.

    Args:
      schema: What is read.
      per_request: The columns that records hold once per request.
    """
    others = {
        column.name
        for feature in schema.features
        if not isinstance(feature, Sequence)
        for column in schema.feature_columns(feature)
    }
    shared: set[str] = set()
    for feature in schema.features:
        if isinstance(feature, Sequence):
            columns = {column.name for column in schema.feature_columns(feature)}
            needed = columns | ({schema.time} if feature.times is not None and schema.time is not None else set())
            if needed <= set(per_request) and not columns & others:
                shared |= columns
    return frozenset(shared)
