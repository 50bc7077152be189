"""Which examples are positives of a retrieval model, and how much each weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from fullrank.data.files.printable import closest
from fullrank.data.schema.schema import Schema, SchemaError


def positive_labels(given: Sequence[str], schema: Schema) -> dict[str, float]:
    """Label -> weight, from `label:weight`.

    Args:
      given: As the flag has it; empty for the first binary label.
      schema: Whose labels they are.

    Raises:
      SchemaError: If there is no such binary label.
      ValueError: If a weight is no positive number, or a label is named twice.
    """
    binary = [label.name for label in schema.labels if label.type == "binary"]
    if not binary:
        raise SchemaError(f"Schema {schema.name!r} has no binary label, which retrieval needs.")
    found: dict[str, float] = {}
    for text in given or binary[:1]:
        name, colon, weight = text.partition(":")
        if name not in binary:
            meant = closest(name, binary)
            hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(binary)}."
            raise SchemaError(f"--positives: schema {schema.name!r} has no binary label {name!r}; {hint}")
        try:
            value = float(weight) if colon else 1.0
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf or name in found:
            raise ValueError(
                f"--positives takes different labels with weights above 0, such as click:1,buy:5. Received: {text!r}."
            )
        found[name] = value
    return found


def positive_weights(batch: Mapping[str, tf.Tensor], labels: Mapping[str, float]) -> tf.Tensor:
    """Sum of the weights of the labels that are positive, `[B]`; a label that is missing is not."""
    return tf.add_n([weight * tf.cast(batch[name] > 0.0, tf.float32) for name, weight in labels.items()])
