"""The feature encoder: turns a schema's columns into `Lookups`, once per batch for all embedding sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.data.records.per_request import PerRequest
from fullrank.data.schema.features import BehaviourColumn, Bits, Numeric, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.layers.content.bit_code import bit_rows, bit_table_rows
from fullrank.layers.embedding.lookup_plan import BehaviourPart, BehaviourSequence, Field, LookupPlan, Lookups, Table
from fullrank.layers.numbers.numeral_systems import missing_once
from fullrank.models.encoding import numbers
from fullrank.models.encoding.id_rows import IdColumn, IdRows
from fullrank.models.encoding.named_columns import NamedColumns, arranged
from fullrank.models.options import NumericEncoding

_LARGEST = 1e6
"""The limit at which the weight of an id is clipped."""


class FeatureEncoder(tf.Module):
    """Encodes every feature of a schema that is looked up in a table; `DenseEncoder` encodes the others.

    Attributes:
      plan: The lookups that its output fills.

    Args:
      schema: Schema of the batches; numeric features need fitted statistics.
      vocabularies: Feature -> known ids, for sparse features with a vocabulary.
      numeric: `buckets` (by quantile), `scaled` (one direction per feature) or `mns` (digits, [Tencent] §3.2); any
        other value leaves numbers out.
      buckets: Number of quantile buckets.
      bases: Numeral systems of `mns`, for features that name none.
      bits: Range of `mns`, for features that do not say: numbers map to 0..2^bits-1.
      unknown_share: Share of the ids of vocabularies that training reads as unknown.
      table_widths: Table -> width of its rows, where it is less than that of an embedding set.
      only: Names of the features to encode; all if `None`.
      known_of: An encoder of the same schema and at least these features, whose hash table of ids is taken.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        vocabularies: Mapping[str, np.ndarray[Any, Any]],
        numeric: NumericEncoding = "buckets",
        buckets: int = 32,
        bases: tuple[int, ...] = (2, 3),
        bits: int = 8,
        unknown_share: float = 0.0,
        table_widths: Mapping[str, int] | None = None,
        only: Collection[str] | None = None,
        known_of: FeatureEncoder | None = None,
    ) -> None:
        super().__init__(name="encoder")
        features = [f for f in schema.features if only is None or f.name in only]
        self._sparse = tuple(f for f in features if isinstance(f, Sparse))
        real = () if numeric in numbers.NETWORKS else tuple(f for f in features if isinstance(f, Numeric))
        self._numeric = numbers.by_systems(real, bases=bases, bits=bits)
        self._bits = tuple(f for f in features if isinstance(f, Bits))
        self._sequences = tuple(f for f in features if isinstance(f, Sequence))
        # Behaviours are looked up in the tables of codes of any feature.
        self._code_lengths = {f.name: f.length for f in schema.features if isinstance(f, Bits)}
        self._code = _number_code(self._numeric, numeric=numeric, buckets=buckets, bases=bases, bits=bits)
        columns = [
            IdColumn(name=f.name, dtype=f.dtype, width=f.max_values, table=f.table or f.name) for f in self._sparse
        ]
        for sequence in self._sequences:
            dtypes = {column.name: column.dtype for column in schema.feature_columns(sequence)}
            columns += [
                IdColumn(name=each.name, dtype=dtypes[each.name], width=sequence.max_length, table=_table(each))
                for each in sequence.behaviour
                if _table(each) not in self._code_lengths
            ]
        self._owners = schema.tables
        maps = {owner.name: owner.ids for owner in self._owners}
        self._id_rows: IdRows | None = (
            IdRows(
                columns=columns,
                maps=maps,
                vocabularies=vocabularies,
                unknown_share=unknown_share,
                known_of=None if known_of is None else known_of._id_rows,
            )
            if columns
            else None
        )
        self.plan = self._plan(table_widths or {})

    def _plan(self, widths: Mapping[str, int]) -> LookupPlan:
        code = self._code
        tables = [Table(name=owner.name, rows=owner.ids.rows) for owner in self._owners]
        tables += [Table(name=f.name, rows=rows) for f, rows in zip(self._numeric, code.rows, strict=True)]
        tables += [Table(name=name, rows=bit_table_rows(length)) for name, length in self._code_lengths.items()]
        names = [table.name for table in tables]
        unknown = next((name for name in widths if name not in names), None)
        if unknown is not None:
            raise ValueError(f"--table_widths: there is no table {unknown!r}. Tables: {', '.join(names) or 'none'}.")
        tables = [dataclasses.replace(table, width=widths.get(table.name)) for table in tables]
        fields = [
            Field(
                name=f.name,
                table=f.table or f.name,
                lookups=f.max_values * self._hashes(f.table or f.name),
                weighted=f.max_values > 1,
            )
            for f in self._sparse
        ]
        fields += [
            Field(name=f.name, table=f.name, lookups=lookups, weighted=code.weighted)
            for f, lookups in zip(self._numeric, code.lookups, strict=True)
        ]
        fields += [Field(name=f.name, table=f.name, lookups=f.length, weighted=True) for f in self._bits]
        sequences = tuple(
            BehaviourSequence(
                name=f.name,
                parts=tuple(
                    BehaviourPart(
                        table=_table(c),
                        target=c.target,
                        bits=self._code_lengths.get(_table(c), 0),
                        lookups=self._hashes(_table(c)),
                    )
                    for c in f.behaviour
                ),
                length=f.max_length,
            )
            for f in self._sequences
        )
        return LookupPlan.ordered(tables=tuple(tables), fields=tuple(fields), sequences=sequences)

    def _hashes(self, table: str) -> int:
        """The rows that an id of a table reads; 1 for a table of codes."""
        return next((owner.ids.hashes for owner in self._owners if owner.name == table), 1)

    @property
    def known_ids(self) -> tf.lookup.StaticHashTable | None:
        """The hash table of the ids in vocabularies; `None` without any."""
        return None if self._id_rows is None else self._id_rows.known

    @property
    def hashed_texts(self) -> tuple[str, ...]:
        """The columns of texts whose rows are hashes."""
        return () if self._id_rows is None else self._id_rows.hashed_texts

    def __call__(self, batch: Mapping[str, Any], training: bool | None = None) -> Lookups:
        """Encodes a batch of raw columns, of which those of sequences may be `PerRequest`."""
        rows: list[NamedColumns] = []
        weights: list[NamedColumns] = []
        shared = {name: column for name, column in batch.items() if isinstance(column, PerRequest)}
        of_requests = {name: column.values for name, column in shared.items()}
        ids = ids_of_requests = None
        if self._id_rows is not None:
            known = {column.name for column in self._id_rows.columns}
            if known & shared.keys():
                ids_of_requests = self._id_rows(of_requests, training=training, columns=known & shared.keys())
            if known - shared.keys():
                ids = self._id_rows(batch, training=training, columns=known - shared.keys())
                rows.append(ids)
        if ids is not None:
            for feature in self._sparse:
                if feature.max_values > 1:
                    given = None if feature.weights is None else batch[feature.weights]
                    hashes = self._hashes(feature.table or feature.name)
                    pooling = _pooling_weights(ids[feature.name][:, ::hashes], given, feature.pooling)
                    pooling = pooling if hashes == 1 else tf.repeat(pooling, hashes, axis=1)
                    weights.append(NamedColumns((feature.name,), (feature.max_values * hashes,), pooling))
        if self._numeric:
            names = tuple(f.name for f in self._numeric)
            found, scales = self._code(tf.stack([batch[name] for name in names], axis=1))
            rows.append(NamedColumns(names, self._code.lookups, found))
            if scales is not None:
                weights.append(NamedColumns(names, self._code.lookups, scales))
        for f in self._bits:
            found = bit_rows(batch[f.name])
            rows.append(NamedColumns((f.name,), (f.length,), found))
            weights.append(NamedColumns((f.name,), (f.length,), missing_once(found)))
        return Lookups(
            rows=arranged(rows, order=self.plan.field_names),
            weights=arranged(weights, order=[f.name for f in self.plan.fields if f.weighted]),
            sequences={
                f.name: self._behaviours(f, of_requests, ids_of_requests)
                if f.behaviour[0].name in shared
                else self._behaviours(f, batch, ids)
                for f in self._sequences
            },
            owners={
                f.name: shared[f.behaviour[0].name].owner for f in self._sequences if f.behaviour[0].name in shared
            },
        )

    def _behaviours(self, sequence: Sequence, batch: Mapping[str, tf.Tensor], ids: NamedColumns | None) -> tf.Tensor:
        """The lookups of the behaviours, `[B, L, n]`: rows of ids, and HashIDs plus 1, so that 0 is missing."""
        found = []
        for column in sequence.behaviour:
            length = self._code_lengths.get(_table(column))
            if length is None:
                assert ids is not None  # noqa: S101
                found.append(_per_behaviour(ids[column.name], hashes=self._hashes(_table(column))))
            else:
                codes = batch[column.name]
                known = tf.bitwise.bitwise_and(codes, tf.constant(2**length - 1, tf.int64)) + 1
                found.append(tf.where(codes < 0, tf.zeros([], tf.int64), known)[:, :, tf.newaxis])
        return tf.concat(found, axis=-1)


def _per_behaviour(rows: tf.Tensor, *, hashes: int) -> tf.Tensor:
    """Rows `[B, L * hashes]` as `[B, L, hashes]`."""
    if hashes == 1:
        return rows[:, :, tf.newaxis]
    return tf.reshape(rows, (-1, rows.shape[1] // hashes, hashes))


def _table(column: BehaviourColumn) -> str:
    """The table that a column of behaviours is looked up in."""
    return column.table or column.name


def _number_code(
    features: tuple[Numeric, ...],
    *,
    numeric: NumericEncoding,
    buckets: int,
    bases: tuple[int, ...],
    bits: int,
) -> numbers.NumberCode:
    if numeric == "scaled" or not features:
        return numbers.ScaledCode(features)
    if numeric == "mns":
        return numbers.NumeralCode(features, bases=bases, bits=bits)
    if numeric == "piecewise":
        return numbers.PiecewiseCode(features, buckets=buckets)
    return numbers.BucketCode(features, buckets=buckets)


def _pooling_weights(rows: tf.Tensor, given: tf.Tensor | None, pooling: str) -> tf.Tensor:
    """Weights `[B, L]` that make a weighted sum of rows their mean, sum or sqrt-n pooling; padding has weight 0.

    An example without any id reads the missing row once, so that it too has an embedding.
    """
    valid = tf.cast(rows > 0, tf.float32)
    if given is not None:
        # A request may hold anything: NaN gets weight 0, and huge weights must not overflow a sum.
        given = tf.clip_by_value(tf.where(tf.math.is_finite(given), given, tf.zeros([])), -_LARGEST, _LARGEST)
    raw = valid if given is None else valid * given
    total = tf.reduce_sum(raw, axis=1, keepdims=True)
    if pooling == "mean":
        raw = tf.math.divide_no_nan(raw, total)
    elif pooling == "sqrtn":
        raw = tf.math.divide_no_nan(raw, tf.sqrt(tf.reduce_sum(tf.square(raw), axis=1, keepdims=True)))
    none = 1.0 - tf.reduce_max(valid, axis=1, keepdims=True)
    return tf.concat([raw[:, :1] + none, raw[:, 1:]], axis=1)
