"""Fits a schema's statistics to its training split: means, quantiles, distinct counts and vocabularies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import (
    Feature,
    Label,
    Numeric,
    NumericStatistics,
    Sequence,
    Sparse,
    SparseStatistics,
    TableOwner,
    Vector,
)
from fullrank.data.schema.id_maps import columns_of_ids, with_id_maps
from fullrank.data.schema.ragged import Columns, Ragged
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_bins import bin_starts
from fullrank.data.tables.staged_rows import StagedRows

QUANTILES: Final = 257
BINS: Final = 256
SAMPLE: Final = 100_000
"""Values of a numeric feature kept for its quantiles. Up to this number, quantiles are exact; beyond, they are
those of a uniform sample, whose rank is off by 0.16 % of the rows at most (one standard error, at the median)."""

_IDS: Final = 65_536
LARGEST: Final = 1e6
"""Beyond it a component of a vector is clipped in a dot product, as models do."""


class SplitStatistics:
    """Statistics of a split: counts are queries, and numbers are accumulated as they are read.

    Args:
      rows: Staged rows.
      where: The condition that chooses those of the split.
    """

    def __init__(self, rows: StagedRows, where: str) -> None:
        self._rows = rows
        self._schema = rows.schema
        self._where = where
        self._numbers = {name: Moments(seed=seed) for seed, name in enumerate(names_of_numbers(self._schema))}
        self.rows = int(rows.value(f"SELECT count(*) FROM {rows.relation} WHERE {where}"))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that `add` needs."""
        paired = {
            name
            for part in self._schema.features
            if isinstance(part, Vector) and part.pair
            for name in (part.name, part.pair)
        }
        return tuple(column for column in self._schema.columns if column.name in {*self._numbers, *paired})

    def add(self, columns: Columns) -> None:
        """Adds the numbers of the next rows."""
        for name, values in self.numbers(columns):
            self._numbers[name].add(values)

    def numbers(self, columns: Columns) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Name -> the numbers of some rows that are not missing; for a vector with a pair, the dot products."""
        for part in (*self._schema.features, *self._schema.labels):
            if isinstance(part, (Numeric, Label)):
                values = _array(columns[part.name])
                yield part.name, values[~np.isnan(values)]
            elif isinstance(part, Vector) and part.pair is not None:
                yield part.name, _dot_products(_array(columns[part.name]), _array(columns[part.pair]))

    def vocabulary(self, feature: TableOwner) -> Iterator[pa.Array]:
        """The known ids of a table, each once, most frequent first: those of its feature and of all that share it.

        An id counts in the examples that have it, and in histories only if none has: a history of clicks repeats
        what was clicked, so that `min_count` would leave out what was not.
        """
        names = columns_of_table(self._schema, feature)
        behaviours = {
            column.name for part in self._schema.features if isinstance(part, Sequence) for column in part.behaviour
        }
        own = [name for name in names if name not in behaviours] or names
        counts = self._added(own)
        past = [name for name in names if name not in own]
        if past:
            counts = f"(FROM {counts} UNION ALL FROM {self._added(past)} AS past ANTI JOIN {counts} AS own USING (id))"
        limit = "" if feature.ids.max_size is None else f" LIMIT {feature.ids.max_size}"
        query = f"SELECT id FROM {counts} WHERE n >= {feature.ids.min_count} ORDER BY n DESC, id{limit}"
        for batch in self._rows.connection.sql(query).to_arrow_reader(_IDS):
            yield batch.column(0)

    def _added(self, names: Iterable[str]) -> str:
        """The relation of the ids of several columns and their counts in all of them."""
        each = " UNION ALL ".join(f"FROM {self.counted(name)}" for name in names)
        return f"(SELECT id, CAST(sum(n) AS BIGINT) AS n FROM ({each}) GROUP BY id)"

    def counted(self, name: str) -> str:
        """The table of the ids of a column and their counts, `id`, `n`; the mark of a missing value is not counted."""
        column = next(column for column in self._schema.columns if column.name == name)
        stored, value = self._rows.stored_as(name), self._rows.value_of(name)
        values = f"unnest({value})" if column.form == "many" else value
        missing = "-1" if column.dtype == "int64" else "''::BLOB"
        rows = f"SELECT {values} AS id FROM {self._rows.relation} WHERE {self._where}"
        self._rows.connection.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {stored}_counted AS SELECT id, count(*) AS n FROM ({rows}) "
            f"WHERE id IS NOT NULL AND id <> {missing} GROUP BY id"
        )
        return f"{stored}_counted"

    def fitted(self, vocabulary_sizes: dict[str, int]) -> Schema:
        """The schema with statistics, label means and the given vocabulary sizes."""
        features: list[Feature] = []
        for feature in self._schema.features:
            if isinstance(feature, Numeric) or (isinstance(feature, Vector) and feature.pair is not None):
                statistics = self._numbers[feature.name].statistics(self.rows)
                features.append(dataclasses.replace(feature, statistics=statistics))
            elif isinstance(feature, Sparse):
                features.append(dataclasses.replace(feature, statistics=self._sparse(feature)))
            else:
                features.append(feature)
        labels = [self._label(label) for label in self._schema.labels]
        fitted = dataclasses.replace(self._schema, features=tuple(features), labels=tuple(labels))
        owners = [owner for owner in self._schema.tables if owner.name in vocabulary_sizes]
        maps = {each.name: dataclasses.replace(each.ids, size=vocabulary_sizes[each.name]) for each in owners}
        return with_id_maps(fitted, maps)

    def _sparse(self, feature: Sparse) -> SparseStatistics:
        rows = max(self.rows, 1)
        distinct, present = self._rows.connection.execute(
            f"SELECT count(*), coalesce(CAST(sum(n) AS BIGINT), 0) FROM {self.counted(feature.name)}"
        ).fetchall()[0]
        if feature.max_values == 1:
            return SparseStatistics(distinct=distinct, missing=(self.rows - present) / rows, mean_length=1.0)
        empty, values = self.lengths(feature)
        return SparseStatistics(distinct=distinct, missing=empty / rows, mean_length=values / rows)

    def lengths(self, feature: Sparse) -> tuple[int, int]:
        """How many lists of a feature are empty, and how many values all of them hold."""
        stored = self._rows.stored_as(feature.name)
        empty, values = self._rows.connection.execute(
            f"SELECT count(*) FILTER (len({stored}) = 0), coalesce(sum(len({stored})), 0) FROM {self._rows.relation} "
            f"WHERE {self._where}"
        ).fetchall()[0]
        return int(empty), int(values)

    def _label(self, label: Label) -> Label:
        moments = self._numbers[label.name]
        observed = moments.count / max(self.rows, 1)
        if not moments.count:
            return dataclasses.replace(label, mean=None, positive=None, minimum=None, observed=observed)
        label = dataclasses.replace(label, mean=moments.mean, observed=observed)
        if label.type == "binary":
            return label
        return dataclasses.replace(label, positive=moments.positive / moments.count, minimum=_short(moments.minimum))


def names_of_numbers(schema: Schema) -> list[str]:
    """The columns with moments: numbers, labels, and vectors with a pair; the place of each is its seed."""
    names = [part.name for part in (*schema.features, *schema.labels) if isinstance(part, (Numeric, Label))]
    return names + [part.name for part in schema.features if isinstance(part, Vector) and part.pair is not None]


def columns_of_table(schema: Schema, feature: TableOwner) -> tuple[str, ...]:
    """The columns whose ids are counted for the vocabulary of a table: its feature's, and those that share it."""
    names = columns_of_ids(schema, feature.name)
    # Histories of earlier rows repeat ids that are counted in their own rows, unless no other column has them.
    own = [name for name in names if name not in schema.filled]
    return tuple(own or names)


class Piece(NamedTuple):
    """Count, mean, sum of squared distances from it, positive values, and range of at least one number."""

    size: int
    mean: float
    squares: float
    positive: int
    minimum: float
    maximum: float


def piece_of(values: npt.NDArray[np.float32]) -> Piece:
    """Sums and range of finite values, at least one."""
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    squares = float(np.square(exact - mean).sum())
    return Piece(len(values), mean, squares, int((values > 0).sum()), float(values.min()), float(values.max()))


class Moments:
    """Mean, spread, range and quantiles of a stream of numbers, in bounded memory."""

    def __init__(self, *, seed: int, before: int = 0) -> None:
        """Starts with nothing; `seed` decides which values are kept once there are more than `SAMPLE`.

        Args:
          seed: Seed of the priorities.
          before: How many values of the same stream are added elsewhere, before the first of these.
        """
        self.count = 0
        self.positive = 0
        self.mean = 0.0
        self._squares = 0.0
        self.minimum = math.inf
        self._maximum = -math.inf
        self._random = np.random.Generator(np.random.PCG64(seed).advance(before))
        self._waiting: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]] = []
        self._limit = math.inf

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Adds finite values."""
        if len(values):
            self.add_piece(piece_of(values))
            self.keep(values, self._random.random(len(values)))

    def add_piece(self, piece: Piece) -> None:
        """Adds values of which only the sums and the range are known; they are not in the sample."""
        total = self.count + piece.size
        # Chan, Golub and LeVeque's update: stable, where sums of squares would cancel.
        gap = piece.mean - self.mean
        self._squares += piece.squares + gap * gap * self.count * piece.size / total
        self.mean += gap * piece.size / total
        self.count = total
        self.positive += piece.positive
        self.minimum = min(self.minimum, piece.minimum)
        self._maximum = max(self._maximum, piece.maximum)

    def keep(self, values: npt.NDArray[np.float32], priorities: npt.NDArray[np.float64]) -> None:
        """Keeps the values of the lowest random priorities, which is a uniform sample without replacement."""
        low = priorities < self._limit
        self._waiting.append((values[low], priorities[low]))
        if sum(len(each) for each, _ in self._waiting) > 2 * SAMPLE:
            self._waiting = [self.sample()]
            self._limit = self._waiting[0][1].max()

    def sample(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """At least one value was added: those that are kept, and their priorities."""
        values, priorities = map(np.concatenate, zip(*self._waiting, strict=True))
        lowest = np.argpartition(priorities, SAMPLE - 1)[:SAMPLE] if len(priorities) > SAMPLE else slice(None)
        return values[lowest], priorities[lowest]

    def statistics(self, rows: int) -> NumericStatistics:
        """The statistics, given the number of rows with missing ones; all zero where every value was missing."""
        missing = (rows - self.count) / rows if rows else 1.0
        if not self.count:
            return NumericStatistics(mean=0.0, std=0.0, minimum=0.0, maximum=0.0, missing=missing)
        sample = self.sample()[0]
        quantiles = np.quantile(sample.astype(np.float64), np.linspace(0, 1, QUANTILES))
        quantiles[[0, -1]] = self.minimum, self._maximum
        values, counts = np.unique(sample, return_counts=True)
        starts = bin_starts(counts, bins=BINS)
        values = values[starts]
        values[0] = self.minimum
        return NumericStatistics(
            mean=self.mean,
            std=math.sqrt(self._squares / self.count),
            minimum=_short(self.minimum),
            maximum=_short(self._maximum),
            missing=missing,
            quantiles=tuple(_short(value) for value in quantiles),
            values=tuple(_short(value) for value in values),
            shares=tuple(_short(count) for count in np.add.reduceat(counts, starts) / len(sample)),
        )


def _short(value: Any) -> float:
    """The decimal number of fewest digits that is the same float32, so that the schema reads 0.1, not 0.100000001."""
    return float(str(np.float32(value)))


def _dot_products(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The dot products of the rows in which both vectors are known."""
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    pair = (np.clip(vectors[known].astype(np.float64), -LARGEST, LARGEST) for vectors in (first, second))
    products: npt.NDArray[np.float32] = np.einsum("bn,bn->b", *pair).astype(np.float32)
    return products


def _array(data: npt.NDArray[Any] | Ragged) -> npt.NDArray[Any]:
    assert not isinstance(data, Ragged)  # noqa: S101 - numbers and vectors are never ragged
    return data
