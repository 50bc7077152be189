"""Which examples are positives of a retrieval model, how much each weighs, and how often each ad is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras as keras

from fullrank.data.files.printable import closest
from fullrank.data.reading.weights import example_weights
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


def positive_weights(batch: Mapping[str, tf.Tensor], labels: Mapping[str, float], *, weight: str | None) -> tf.Tensor:
    """Sum of the weights of the labels that are positive, times that of the example, `[B]`.

    Args:
      batch: Columns.
      labels: Label -> weight; a label that is missing is not positive.
      weight: Column of the examples' weights, 1 where it is missing; `None` for ones.
    """
    positive = tf.add_n([each * tf.cast(batch[name] > 0.0, tf.float32) for name, each in labels.items()])
    return positive if weight is None else positive * example_weights(batch, weight)


class PositiveCounts(keras.layers.Layer):
    """`q_j = (c_j + 1) / (C + N)`: c_j positives of ad j so far, C of all N ads; every ad begins with one.

    Departure from Yi et al. 2019 (Sampling-bias-corrected neural modeling), who estimate the distance in steps between
    two occurrences, with hashed ids and a forgetting rate: the ads are known here, so that each has a count of its own,
    and a run over stored records has no drift to follow. A step touches the rows of its batch alone.

    Call arguments:
      places: `[B]`, places of ads in the catalogue; N for an ad that is not in it.

    Returns:
      q, `[B]`, float32.

    Args:
      ads: N.
    """

    def __init__(self, ads: int, *, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self.ads = ads
        self._counts = self.add_weight(name="counts", shape=(ads + 1,), initializer="ones", trainable=False)
        self._total = self.add_weight(
            name="total", shape=(), initializer=keras.initializers.Constant(ads + 1.0), trainable=False
        )

    def observe(self, places: tf.Tensor) -> None:
        """Counts the positives of a batch, `[B]`."""
        self._counts.scatter_add(tf.IndexedSlices(tf.ones_like(places, tf.float32), places))
        self._total.assign_add(tf.cast(tf.size(places), tf.float32))

    def call(self, places: tf.Tensor) -> tf.Tensor:
        """Returns the share of the positives so far."""
        return tf.gather(self._counts, places) / self._total

    @property
    def popularity(self) -> tf.Tensor:
        """Positives of each ad of the catalogue so far, `[N]`."""
        return self._counts[:-1] - 1.0
