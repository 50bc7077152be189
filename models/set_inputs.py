"""The inputs of the experts that read one embedding set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from fullrank.data.schema.schema import Schema
from fullrank.layers.content.pair_similarity import VectorProjection
from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.layers.embedding.lookup_plan import BehaviourSequence, Lookups
from fullrank.layers.legacy_keras import keras
from fullrank.layers.numbers.auto_dis import AutoDis
from fullrank.layers.numbers.multiple_numeral_system import MultipleNumeralSystem
from fullrank.layers.numbers.periodic_features import PeriodicFeatures
from fullrank.models.encoding.dense_inputs import DenseEncoder, DenseInputs, timed_sequences
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.encoding.sequence_encoders import SequenceEncoder, encoded_requests, sequence_encoder
from fullrank.models.options import RankerOptions


class SetInputs(keras.layers.Layer):
    """One set's view of a batch: the fields that interact, and the side that joins after the interaction.

    Call arguments:
      lookups: Result of the feature encoder.
      dense: The batch's numbers and vectors that no table is looked up for.
      elapsed: Sequence -> seconds from each behaviour to the event, `[B, L]`; `[R, L]` if it is held once per request.
      compared: Fields `[B, F, d]` that sequences are compared with, in place of the batch's own; `None` for these.

    Returns:
      Fields `[B, F, d]`, in the order of `field_names`, and side `[B, m]`, or `None` if the set has no side.
      The side holds encoded sequences, then encoded similarities ([Tencent] §3.3), then vectors as they are.

    Attributes:
      plan: The lookups of its fields and sequences.
      field_names: The F axis: fields of the plan, then numbers that a network embeds, then projected vectors.
      side_names: The parts of the side: sequences by name, similarities, vectors.
      side_widths: Columns of each part of the side.

    Args:
      encoder: The model's feature encoder.
      dense: The model's encoder of numbers and vectors.
      schema: Schema of the batches.
      width: d.
      options: Settings that the wiring leaves open.
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        dense: DenseEncoder,
        schema: Schema,
        *,
        width: int,
        options: RankerOptions,
        name: str,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.plan = encoder.plan
        numbers, vectors = ([feature.name for feature in kind] for kind in (dense.numbers, dense.vectors))
        self.field_names = (*encoder.plan.field_names, *numbers, *vectors)
        if not self.field_names:
            raise ValueError(
                f"No feature of schema {schema.name!r} is a field that can interact: choose --vectors=projection."
            )
        timed = timed_sequences(schema)
        self.embeddings = EmbeddingSet(
            encoder.plan,
            width,
            table_variables=options.table_variables,
            initial_scale=options.initial_scale,
            name=name,
        )
        self.numbers = _number_layer(options, width, name=f"{name}_numbers") if dense.numbers else None
        self.projections = [VectorProjection(width, name=f"{name}_{vector.name}") for vector in dense.vectors]
        self.similarities = (
            MultipleNumeralSystem(
                width,
                bases=options.bases,
                bits=options.bits,
                knots=dense.similarity_knots(),
                name=f"{name}_similarities",
            )
            if dense.pairs
            else None
        )
        encoders = [
            sequence_encoder(
                options.sequence,
                without=options.sequence_without,
                scale=options.sequence_scale,
                length=sequence.length,
                timed=sequence.name in timed,
                name=f"{name}_{sequence.name}",
            )
            for sequence in encoder.plan.sequences
        ]
        self.sequences = [encoder_of.layer for encoder_of in encoders]
        self._reads = [encoder_of.reads for encoder_of in encoders]
        self.side_widths: tuple[int, ...] = ()
        self.side_names = (
            *(sequence.name for sequence in encoder.plan.sequences),
            *(("similarities",) if dense.pairs else ()),
            *(("vectors",) if dense.raw else ()),
        )

    def call(
        self,
        lookups: Lookups,
        dense: DenseInputs,
        elapsed: Mapping[str, tf.Tensor],
        compared: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the fields and the side."""
        fields = [self.embeddings(lookups)] if self.plan.fields else []
        side = [
            self._encoded(encode, reads, sequence, lookups, fields[0] if compared is None else compared, elapsed)
            for sequence, encode, reads in zip(self.plan.sequences, self.sequences, self._reads, strict=True)
        ]
        if self.numbers is not None:
            fields.append(self.numbers(dense.numbers))
        if self.projections:
            projected = [project(vector) for vector, project in zip(dense.vectors, self.projections, strict=True)]
            fields.append(tf.stack(projected, axis=1))
        side += self.side_after_sequences(dense)
        self.side_widths = tuple(int(part.shape[-1]) for part in side)
        return _joined(fields), _joined(side) if side else None

    def side_after_sequences(self, dense: DenseInputs) -> list[tf.Tensor]:
        """The parts of the side after the encoded sequences: encoded similarities, then vectors as they are."""
        side: list[tf.Tensor] = []
        if self.similarities is not None:
            encoded = self.similarities(dense.similarities)
            side.append(tf.reshape(encoded, (-1, encoded.shape[1] * encoded.shape[2])))
        if dense.raw is not None:
            side.append(tf.cast(dense.raw, self.compute_dtype))
        return side

    def encoder_of(self, sequence: BehaviourSequence) -> tuple[keras.layers.Layer, tuple[str, ...]]:
        """The encoder of a sequence, and the inputs that it reads."""
        place = self.plan.sequences.index(sequence)
        return self.sequences[place], self._reads[place]

    def _encoded(
        self,
        encode: keras.layers.Layer,
        reads: Sequence[str],
        sequence: BehaviourSequence,
        lookups: Lookups,
        fields: tf.Tensor,
        elapsed: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        inputs = self._read(reads, sequence, lookups, fields, elapsed)
        if sequence.name in lookups.owners:
            encoder, named = SequenceEncoder(layer=encode, reads=tuple(reads)), dict(zip(reads, inputs, strict=True))
            return encoded_requests(encoder, named, owner=lookups.owners[sequence.name])
        return encode(*inputs)

    def _read(
        self,
        reads: Sequence[str],
        sequence: BehaviourSequence,
        lookups: Lookups,
        fields: tf.Tensor,
        elapsed: Mapping[str, tf.Tensor],
    ) -> list[tf.Tensor]:
        behaviours = self.embeddings.behaviours(sequence, lookups)
        mask = tf.reduce_any(lookups.sequences[sequence.name] > 0, axis=2)
        inputs = {"behaviours": behaviours, "mask": mask, "intervals": elapsed.get(sequence.name)}
        if "target" in reads:
            inputs["target"] = self.embeddings.target(sequence, fields)
        return [inputs[name] for name in reads]

    def attention(self, lookups: Lookups, elapsed: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Sequence -> weights of its behaviours and where there are any, `[B, L]` each; of encoders with weights."""
        found = {}
        for sequence, encode, reads in zip(self.plan.sequences, self.sequences, self._reads, strict=True):
            if hasattr(encode, "attention_of"):
                inputs = self._read(reads, sequence, lookups, self.embeddings(lookups), elapsed)
                found[sequence.name] = (encode.attention_of(*inputs), inputs[reads.index("mask")])
        return found


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)


def _number_layer(options: RankerOptions, width: int, *, name: str) -> keras.layers.Layer:
    if options.numeric == "autodis":
        return AutoDis(width, buckets=options.buckets, name=name)
    return PeriodicFeatures(width, frequencies=options.frequencies, sigma=options.frequency_scale, name=name)
