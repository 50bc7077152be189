"""Turns a batch into what `keras.Model.fit` expects of a dataset: features, labels and sample weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from fullrank.data.schema.schema import Schema

Batch = dict[str, tf.Tensor]


def split_batch(schema: Schema, *, labels: Sequence[str] | None = None) -> Callable[[Batch], tuple[Batch, Any, Any]]:
    """Makes the function that splits a batch for a Keras model of the user's own.

    Example:
      dataset = data.read_records("records", batch_size=2048).map(data.split_batch(schema, labels=["click"]))

    Args:
      schema: Says which columns are inputs and which is the sample weight.
      labels: Tasks; `None` for all labels of the schema.

    Returns:
      A function of a batch that gives `(features, labels, weights)`: `features` holds the input columns; `labels` and
      `weights` are `[B]` for one task and dicts by task for several. Where a label was not observed, its value is 0 and
      its weight is 0, so that it adds nothing to the loss. A missing sample weight counts as 1.

    Raises:
      SchemaError: If a label is not in the schema.
    """
    names = tuple(schema.label(name).name for name in (labels or [label.name for label in schema.labels]))
    inputs = tuple(column.name for column in schema.input_columns)

    def split(batch: Batch) -> tuple[Batch, Any, Any]:
        targets, weights = {}, {}
        for name in names:
            label = batch[name]
            observed = tf.logical_not(tf.math.is_nan(label))
            weight = tf.ones_like(label)
            if schema.weight is not None:
                given = batch[schema.weight]
                weight = tf.where(tf.math.is_nan(given), weight, given)
            targets[name] = tf.where(observed, label, tf.zeros_like(label))
            weights[name] = tf.where(observed, weight, tf.zeros_like(label))
        features = {name: batch[name] for name in inputs}
        if len(names) == 1:
            return features, targets[names[0]], weights[names[0]]
        return features, targets, weights

    return split
