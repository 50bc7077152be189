"""What the experts of one embedding set read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from fullrank.data.schema import Schema
from fullrank.layers.embedding_set import EmbeddingSet
from fullrank.layers.legacy_keras import keras
from fullrank.layers.lookup_plan import BehaviourSequence, Lookups
from fullrank.layers.sequence_mean import SequenceMean
from fullrank.layers.temporal_interest import TemporalInterest
from fullrank.layers.vector_projection import VectorProjection
from fullrank.models.encoding.elapsed import timed_sequences
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.ranker_options import RankerOptions


class SetInputs(keras.layers.Layer):  # type: ignore[misc]
    """One set's view of a batch: the fields that interact, and the side that joins after the interaction.

    Call arguments:
      lookups: What the feature encoder found.
      batch: The raw columns.
      elapsed: Sequence -> seconds from each behaviour to the event, `[B, L]`.

    Returns:
      Fields `[B, F, d]`, those of the plan first, and side `[B, m]`, or `None` if nothing is encoded beside the fields.

    Args:
      encoder: The model's feature encoder.
      schema: What the batches hold.
      width: d.
      options: What the wiring leaves open.
    """

    def __init__(
        self, encoder: FeatureEncoder, schema: Schema, *, width: int, options: RankerOptions, name: str
    ) -> None:
        super().__init__(name=name, autocast=False)
        self._plan = encoder.plan
        self._vectors = encoder.vectors
        timed = timed_sequences(schema)
        self.embeddings = EmbeddingSet(
            encoder.plan, width, groups=options.groups, initial_scale=options.initial_scale, name=name
        )
        self.projections = [VectorProjection(width, name=f"{name}_{vector.name}") for vector in encoder.vectors]
        self.sequences = [
            _sequence_encoder(sequence, options, timed=sequence.name in timed, name=f"{name}_{sequence.name}")
            for sequence in encoder.plan.sequences
        ]

    def call(
        self, lookups: Lookups, batch: Mapping[str, tf.Tensor], elapsed: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the fields and the side."""
        fields = self.embeddings(lookups)
        side = [
            self._encoded(encode, sequence, lookups, fields, elapsed)
            for sequence, encode in zip(self._plan.sequences, self.sequences, strict=True)
        ]
        projected = [
            project(batch[vector.name]) for vector, project in zip(self._vectors, self.projections, strict=True)
        ]
        if projected:
            fields = tf.concat([fields, tf.stack(projected, axis=1)], axis=1)
        return fields, tf.concat(side, axis=1) if side else None

    def _encoded(
        self,
        encode: keras.layers.Layer,
        sequence: BehaviourSequence,
        lookups: Lookups,
        fields: tf.Tensor,
        elapsed: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        behaviours = self.embeddings.behaviours(sequence, lookups)
        mask = lookups.sequences[sequence.name][:, :, 0] > 0
        if isinstance(encode, SequenceMean):
            return encode(behaviours, mask)
        target = self.embeddings.target(sequence, fields)
        return encode(behaviours, target, mask, elapsed.get(sequence.name))


def _sequence_encoder(
    sequence: BehaviourSequence, options: RankerOptions, *, timed: bool, name: str
) -> keras.layers.Layer:
    if options.sequence == "mean":
        return SequenceMean(name=name)
    return TemporalInterest(sequence.length, interval=timed, name=name)


def joined_means(fields: Mapping[str, Any]) -> tf.Tensor:
    """What the gates look at: the mean field of every set, side by side, `[B, sum of widths]`."""
    return tf.concat([tf.reduce_mean(each, axis=1) for each in fields.values()], axis=1)
