"""Fits what a schema says about its training split: means, quantiles, distinct counts and vocabularies.

Rows come in chunks. `summarise` looks at one chunk and may run in any process; `SplitStatistics` takes the summaries in
order, so that the result does not depend on who made them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.count_ids import IdCounter, count_values, ids_of
from fullrank.data.features import (
    Feature,
    Label,
    Numeric,
    NumericStatistics,
    Sequence,
    Sparse,
    SparseStatistics,
    Vector,
)
from fullrank.data.ragged import Columns, Ragged
from fullrank.data.schema import Schema

QUANTILES: Final = 257
SAMPLE: Final = 100_000
"""Values of a numeric feature that are kept for its quantiles. Up to that many, quantiles are exact; beyond, they are
those of a uniform sample, whose rank is off by 0.16 % of the rows at most (one standard error, at the median)."""

LARGEST: Final = 1e6
"""Beyond it a component of a vector is clipped in a dot product, as models do."""


@dataclasses.dataclass(frozen=True)
class ChunkSummary:
    """What one chunk of rows shows.

    Attributes:
      rows: Number of rows.
      numbers: Numeric feature or label -> its values that are not missing; vector with a pair -> their dot products.
      ids: Id column -> `count_values` of it.
      missing: Sparse feature -> rows without an id.
      lengths: Sparse feature of many values -> ids over all rows.
    """

    rows: int
    numbers: dict[str, npt.NDArray[np.float32]]
    ids: dict[str, pa.Table]
    missing: dict[str, int]
    lengths: dict[str, int]


def summarise(columns: Columns, schema: Schema) -> ChunkSummary:
    """Looks at a column batch."""
    rows = 0
    numbers: dict[str, npt.NDArray[np.float32]] = {}
    ids: dict[str, pa.Table] = {}
    missing: dict[str, int] = {}
    lengths: dict[str, int] = {}
    for part in (*schema.features, *schema.labels):
        if isinstance(part, (Numeric, Label)):
            values = _array(columns[part.name])
            rows = len(values)
            numbers[part.name] = values[~np.isnan(values)]
        elif isinstance(part, Sparse):
            data = columns[part.name]
            ids[part.name] = count_values(data.values if isinstance(data, Ragged) else data)
            if isinstance(data, Ragged):
                missing[part.name] = int((data.lengths == 0).sum())
                lengths[part.name] = int(data.lengths.sum())
            else:
                present = sum(ids[part.name]["count"].to_pylist())
                missing[part.name] = len(data) - present
        elif isinstance(part, Sequence):
            for column, _ in part.ids:
                data = columns[column]
                ids[column] = count_values(data.values if isinstance(data, Ragged) else data)
        elif isinstance(part, Vector) and part.pair is not None:
            numbers[part.name] = _dot_products(_array(columns[part.name]), _array(columns[part.pair]))
    return ChunkSummary(rows=rows, numbers=numbers, ids=ids, missing=missing, lengths=lengths)


class SplitStatistics:
    """Adds up the summaries of a split."""

    def __init__(self, schema: Schema, *, directory: Path, max_distinct_in_memory: int) -> None:
        """Starts with nothing.

        Args:
          schema: What the rows are.
          directory: Where counts go that do not fit in memory.
          max_distinct_in_memory: As in `IdCounter`.
        """
        self._schema = schema
        self._counter = IdCounter(directory=directory, max_distinct_in_memory=max_distinct_in_memory)
        names = [part.name for part in (*schema.features, *schema.labels) if isinstance(part, (Numeric, Label))]
        names += [part.name for part in schema.features if isinstance(part, Vector) and part.pair is not None]
        self._numbers = {name: Moments(seed=seed) for seed, name in enumerate(names)}
        self._missing: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self.rows = 0

    def add(self, chunk: ChunkSummary) -> None:
        """Adds the next chunk."""
        self.rows += chunk.rows
        for name, values in chunk.numbers.items():
            self._numbers[name].add(values)
        for column, counts in chunk.ids.items():
            self._counter.add(column, counts)
        for totals, part in ((self._missing, chunk.missing), (self._lengths, chunk.lengths)):
            for name, count in part.items():
                totals[name] = totals.get(name, 0) + count

    def vocabulary(self, feature: Sparse) -> Iterator[int | bytes]:
        """The known ids of a table, most frequent first: those of its feature and of all that share it."""
        columns = [feature.name]
        for other in self._schema.features:
            if isinstance(other, Sparse) and other.table == feature.name:
                columns.append(other.name)
            elif isinstance(other, Sequence):
                columns.extend(column for column, shared in other.ids if shared == feature.name)
        # A sequence may name the same column twice, for two tables; within one table it counts once.
        unique = list(dict.fromkeys(columns))
        return ids_of(self._counter.ranked(unique, min_count=feature.ids.min_count, max_size=feature.ids.max_size))

    def fitted(self, vocabulary_sizes: dict[str, int]) -> Schema:
        """The schema with statistics, label means and the given vocabulary sizes."""
        features: list[Feature] = []
        for feature in self._schema.features:
            if isinstance(feature, Numeric) or (isinstance(feature, Vector) and feature.pair is not None):
                statistics = self._numbers[feature.name].statistics(self.rows)
                features.append(dataclasses.replace(feature, statistics=statistics))
            elif isinstance(feature, Sparse):
                size = vocabulary_sizes.get(feature.name, feature.ids.size)
                ids = dataclasses.replace(feature.ids, size=size)
                features.append(dataclasses.replace(feature, ids=ids, statistics=self._sparse(feature)))
            else:
                features.append(feature)
        labels = [self._label(label) for label in self._schema.labels]
        return dataclasses.replace(self._schema, features=tuple(features), labels=tuple(labels))

    def _sparse(self, feature: Sparse) -> SparseStatistics:
        rows = max(self.rows, 1)
        return SparseStatistics(
            distinct=self._counter.distinct(feature.name),
            missing=self._missing.get(feature.name, 0) / rows,
            mean_length=self._lengths[feature.name] / rows if feature.name in self._lengths else 1.0,
        )

    def _label(self, label: Label) -> Label:
        moments = self._numbers[label.name]
        observed = moments.count / max(self.rows, 1)
        if not moments.count:
            return dataclasses.replace(label, mean=None, positive=None, minimum=None, observed=observed)
        label = dataclasses.replace(label, mean=moments.mean, observed=observed)
        if label.type == "binary":
            return label
        return dataclasses.replace(label, positive=moments.positive / moments.count, minimum=_short(moments.minimum))


class Moments:
    """Mean, spread, range and quantiles of a stream of numbers, in bounded memory."""

    def __init__(self, *, seed: int) -> None:
        """Starts with nothing; `seed` decides which values are kept once there are more than `SAMPLE`."""
        self.count = 0
        self.positive = 0
        self.mean = 0.0
        self._squares = 0.0
        self.minimum = math.inf
        self._maximum = -math.inf
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._kept: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self._priorities: npt.NDArray[np.float64] = np.empty(0)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Adds finite values."""
        if not len(values):
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        squares = float(np.square(exact - mean).sum())
        total = self.count + len(values)
        # Chan, Golub and LeVeque's update: stable, where sums of squares would cancel.
        gap = mean - self.mean
        self._squares += squares + gap * gap * self.count * len(values) / total
        self.mean += gap * len(values) / total
        self.count = total
        self.positive += int((values > 0).sum())
        self.minimum = min(self.minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))
        self._keep(values)

    def _keep(self, values: npt.NDArray[np.float32]) -> None:
        """Keeps the values of the lowest random priorities, which is a uniform sample without replacement."""
        priorities = self._random.random(len(values))
        if len(self._priorities) >= SAMPLE:
            low = priorities < self._priorities.max()
            values, priorities = values[low], priorities[low]
        if not len(values):
            return
        self._kept = np.concatenate([self._kept, values])
        self._priorities = np.concatenate([self._priorities, priorities])
        if len(self._kept) > SAMPLE:
            lowest = np.sort(np.argpartition(self._priorities, SAMPLE)[:SAMPLE])
            self._kept, self._priorities = self._kept[lowest], self._priorities[lowest]

    def statistics(self, rows: int) -> NumericStatistics:
        """The statistics, given the number of rows with missing ones; all zero where every value was missing."""
        missing = (rows - self.count) / rows if rows else 1.0
        if not self.count:
            return NumericStatistics(mean=0.0, std=0.0, minimum=0.0, maximum=0.0, missing=missing)
        quantiles = np.quantile(self._kept.astype(np.float64), np.linspace(0, 1, QUANTILES))
        quantiles[[0, -1]] = self.minimum, self._maximum
        return NumericStatistics(
            mean=self.mean,
            std=math.sqrt(self._squares / self.count),
            minimum=_short(self.minimum),
            maximum=_short(self._maximum),
            missing=missing,
            quantiles=tuple(_short(value) for value in quantiles),
        )


def _short(value: Any) -> float:
    """The decimal number of fewest digits that is the same float32, so that the schema reads 0.1, not 0.100000001."""
    return float(str(np.float32(value)))


def _dot_products(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Of the rows in which both vectors are known."""
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    pair = (np.clip(vectors[known].astype(np.float64), -LARGEST, LARGEST) for vectors in (first, second))
    products: npt.NDArray[np.float32] = np.einsum("bn,bn->b", *pair).astype(np.float32)
    return products


def _array(data: npt.NDArray[Any] | Ragged) -> npt.NDArray[Any]:
    assert not isinstance(data, Ragged)  # noqa: S101 - numbers and vectors are never ragged
    return data
