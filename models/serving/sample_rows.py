"""Rows that look like requests: real rows if there are records, otherwise drawn from the schema's statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fullrank.data.reading.read import read_records
from fullrank.data.records.encode_examples import is_missing
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Bits, Numeric, Sparse, TableOwner, Vector
from fullrank.data.schema.features import Sequence as BehaviourFeature
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import read_vocabulary

Rows = dict[str, np.ndarray[Any, Any]]
"""Input column -> `[n]` or `[n, length]`, padded as the reader pads."""

_HOUR = {"s": 3600, "ms": 3600 * 1000}


def recorded_rows(schema: Schema, *, split: str, number: int, columns: Sequence[Column]) -> Rows:
    """The first rows of a split, again from its first row if it has fewer.

    Args:
      schema: Read from the directory of the records.
      split: Name of the split.
      number: Rows wanted.
      columns: Columns wanted.

    Raises:
      SchemaError: If the split is empty.
    """
    for batch in read_records(schema, split=split, batch_size=number).take(1).as_numpy_iterator():
        return take(batch, number=number, columns=columns)
    raise SchemaError(f"Split {split!r} of {schema.directory} holds no examples.")


def take(rows: Rows, *, number: int, columns: Iterable[Column]) -> Rows:
    """The first `number` rows of the given columns, again from the first row if there are fewer."""
    return {c.name: rows[c.name][np.arange(number) % len(rows[c.name])] for c in columns}


def drawn_rows(schema: Schema, *, number: int, seed: int = 0) -> Rows:
    """Rows with ids that the model knows and numbers spread as in the training data.

    Args:
      schema: With the statistics and vocabularies of the data; where they lack, any legal value is drawn.
      number: Rows wanted.
      seed: Seed of the draw.
    """
    random = np.random.default_rng(seed)
    known = {owner.name: _known_ids(schema, owner) for owner in schema.tables}
    known |= {f.name: np.arange(2 ** min(f.length, 16), dtype=np.int64) for f in schema.features if isinstance(f, Bits)}
    rows: Rows = {}
    for feature in schema.features:
        if isinstance(feature, Sparse):
            ids = known[feature.table or feature.name]
            shape = (number,) if feature.max_values == 1 else (number, feature.max_values)
            rows[feature.name] = random.choice(ids, shape)
            if feature.weights is not None:
                rows[feature.weights] = np.ones(shape, np.float32)
        elif isinstance(feature, Numeric):
            rows[feature.name] = _numbers(feature, number, random)
        elif isinstance(feature, BehaviourFeature):
            for column in feature.behaviour:
                rows[column.name] = random.choice(known[column.table or column.name], (number, feature.max_length))
            if feature.times is not None:
                hours = np.arange(feature.max_length, dtype=np.int64) + 1
                rows[feature.times] = np.tile(hours * _HOUR[schema.time_unit], (number, 1))
        elif isinstance(feature, Vector):
            rows[feature.name] = random.normal(size=(number, feature.length)).astype(np.float32)
        elif isinstance(feature, Bits):
            rows[feature.name] = random.integers(0, 2, (number, feature.length))
    if schema.time is not None:
        longest = max((f.max_length for f in schema.features if isinstance(f, BehaviourFeature)), default=0)
        rows[schema.time] = np.full(number, (longest + 2) * _HOUR[schema.time_unit], np.int64)
    return take(rows, number=number, columns=schema.input_columns)


def to_columns(rows: Rows, *, columns: Iterable[Column]) -> dict[str, np.ndarray[Any, Any] | Ragged]:
    """Takes the padding off `many` columns, as the record writers want them."""
    return {c.name: _unpadded(rows[c.name], c) if c.form == "many" else rows[c.name] for c in columns}


def _unpadded(values: np.ndarray[Any, Any], column: Column) -> Ragged:
    present = values != column.pad if column.pad is not None else ~is_missing(values)
    lengths = np.where(present, np.arange(values.shape[1]) + 1, 0).max(axis=1)
    return Ragged(values[np.arange(values.shape[1]) < lengths[:, np.newaxis]], lengths.astype(np.int32))


def _known_ids(schema: Schema, feature: TableOwner) -> np.ndarray[Any, Any]:
    if feature.ids.kind == "vocabulary" and schema.directory is not None and feature.ids.size:
        return read_vocabulary(schema=schema, feature=feature.name)
    ids = np.arange(min(max(feature.ids.size, 1), 1 << 16), dtype=np.int64)
    return ids if feature.dtype == "int64" else np.array([b"%d" % i for i in ids], dtype=object)


def _numbers(feature: Numeric, number: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    statistics = feature.statistics
    if statistics is None:
        return random.normal(size=number).astype(np.float32)
    quantiles = statistics.quantiles or (statistics.minimum, statistics.maximum)
    at = random.uniform(0, len(quantiles) - 1, number)
    values = np.interp(at, np.arange(len(quantiles)), quantiles).astype(np.float32)
    return np.where(random.uniform(size=number) < statistics.missing, np.float32("nan"), values)
