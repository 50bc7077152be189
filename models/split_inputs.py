"""What the experts of an embedding set read of one user and many candidates."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from fullrank.data.schema.features import Numeric, Sequence, Vector
from fullrank.data.schema.request_parts import RequestParts
from fullrank.data.schema.schema import Schema
from fullrank.layers.embedding.lookup_plan import BehaviourSequence, Lookups
from fullrank.layers.split_fields import SplitFields, repeated_rows
from fullrank.models.encoding.dense_inputs import DenseEncoder, DenseInputs, elapsed_seconds
from fullrank.models.encoding.encoder import FeatureEncoder
from fullrank.models.options import RankerOptions
from fullrank.models.set_inputs import SetInputs


class SplitInputs:
    """Does what the encoders and `SetInputs` of a model do, for a batch in which one user's columns have one row.

    Ids are mapped to rows, rows looked up and pooled, behaviours and vectors embedded as often as the batch holds them.
    An encoder of sequences that has `of_targets` reads the behaviours once. Numbers that a network embeds, pairs of
    vectors, and vectors that are used as they are, are small: these are repeated.

    Call arguments:
      batch: Column -> `[1, ...]` if it is among the columns of `parts`, else `[N, ...]`.

    Returns:
      Set -> its fields, and its side `[N, m]` or `None`.

    Args:
      schema: The model's schema.
      options: The model's options.
      parts: What is held once.
      encoder: The model's encoder.
      dense: The model's encoder of numbers and vectors.
      sets: Set -> what its experts read.
    """

    def __init__(
        self,
        schema: Schema,
        options: RankerOptions,
        parts: RequestParts,
        *,
        encoder: FeatureEncoder,
        dense: DenseEncoder,
        sets: Mapping[str, SetInputs],
    ) -> None:
        self._schema, self._parts, self._dense, self._sets = schema, parts, dense, sets
        names = {feature.name for feature in schema.features}
        self._once, self._each = (
            FeatureEncoder(
                schema,
                vocabularies={},
                numeric=options.numeric,
                buckets=options.buckets,
                bases=options.bases,
                bits=options.bits,
                only=only,
                known_of=encoder,
            )
            for only in (parts.features, names - parts.features)
        )
        self._sequences = {f.name: schema.feature_columns(f) for f in schema.features if isinstance(f, Sequence)}

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[SplitFields, tf.Tensor | None]]:
        """Returns what the experts of each set read."""
        once, each = self._once(batch), self._each(batch)
        rows = candidates(batch, self._parts)
        dense = self._dense({**batch, **self._repeated(batch, rows)})
        elapsed = elapsed_seconds(batch, schema=self._schema)
        return {name: self._of_set(inputs, once, each, dense, elapsed, rows) for name, inputs in self._sets.items()}

    def _repeated(self, batch: Mapping[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns of numbers and vectors that a network reads together with those of the candidates."""
        alone = {vector.name for vector in self._dense.vectors}
        wanted = [
            f.name
            for f in self._schema.features
            if isinstance(f, (Numeric, Vector)) and f.name in self._parts.features and f.name not in alone
        ]
        return {name: repeated_rows(batch[name], rows=rows) for name in wanted}

    def _of_set(
        self,
        inputs: SetInputs,
        once: Lookups,
        each: Lookups,
        dense: DenseInputs,
        elapsed: Mapping[str, tf.Tensor],
        rows: tf.Tensor,
    ) -> tuple[SplitFields, tf.Tensor | None]:
        tables, names, width = inputs.embeddings, self._parts.features, inputs.embeddings.width
        shared, own = list(self._once.plan.field_names), list(self._each.plan.field_names)
        parts = [
            [tables.of_plan(encoder.plan, lookups)] if encoder.plan.fields else []
            for encoder, lookups in ((self._once, once), (self._each, each))
        ]
        if inputs.numbers is not None:
            own += [number.name for number in self._dense.numbers]
            parts[1].append(inputs.numbers(dense.numbers))
        for vector, values, project in zip(self._dense.vectors, dense.vectors, inputs.projections, strict=True):
            is_once = vector.name in names
            (shared if is_once else own).append(vector.name)
            parts[0 if is_once else 1].append(project(values)[:, tf.newaxis])
        one = tf.concat([tf.zeros([1, 0, width], inputs.compute_dtype), *parts[0]], axis=1)
        many = tf.concat([tf.zeros([rows, 0, width], inputs.compute_dtype), *parts[1]], axis=1)
        places = {name: place for place, name in enumerate([*shared, *own])}
        fields = SplitFields(one, many, tuple(places[name] for name in inputs.field_names))
        found = {**once.sequences, **each.sequences}
        side = [
            self._encoded(inputs, sequence, found[sequence.name], fields, elapsed.get(sequence.name), rows)
            for sequence in inputs.plan.sequences
        ]
        side += inputs.side_after_sequences(dense)
        return fields, tf.concat(side, axis=1) if side else None

    def _encoded(
        self,
        inputs: SetInputs,
        sequence: BehaviourSequence,
        lookups: tf.Tensor,
        fields: SplitFields,
        intervals: tf.Tensor | None,
        rows: tf.Tensor,
    ) -> tf.Tensor:
        """The encoded sequence, `[N, m]`."""
        encode, reads = inputs.encoder_of(sequence)
        of_sequence = Lookups(rows=None, weights=None, sequences={sequence.name: lookups})
        given = {
            "behaviours": inputs.embeddings.behaviours(sequence, of_sequence),
            "mask": tf.reduce_any(lookups > 0, axis=2),
            "intervals": intervals,
        }
        held = {"behaviours", "mask"} if sequence.name in self._parts.features else set()
        if held and self._schema.time in self._parts.columns:
            held.add("intervals")
        is_once = held >= set(reads) - {"target"}
        if is_once and "target" not in reads:
            return repeated_rows(encode(*(given[name] for name in reads)), rows=rows)
        given["target"] = inputs.embeddings.target(sequence, fields.whole)
        if is_once and hasattr(encode, "of_targets"):
            encoded: tf.Tensor = encode.of_targets(*(given[name] for name in reads))
            return encoded
        return encode(*(repeated_rows(given[name], rows=rows) if name in held else given[name] for name in reads))


def candidates(batch: Mapping[str, tf.Tensor], parts: RequestParts) -> tf.Tensor:
    """N, the number of candidates of a batch."""
    return tf.shape(next(value for name, value in batch.items() if name not in parts.columns))[0]
