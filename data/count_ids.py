"""Counts how often each id occurs, in bounded memory, and ranks them for a vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.sorted_runs import merge_runs, read_run, sorted_by, write_run

_COMPACT_ROWS: Final = 65_536
"""Partial counts are added up when there are at least this many, and as many as were already added up."""


def count_values(values: npt.NDArray[Any]) -> pa.Table:
    """The distinct ids among `values` and how often each occurs, without the missing one: columns `id`, `count`."""
    binary = values.dtype == object
    ids = pa.array(values, pa.large_binary() if binary else pa.int64())
    counted = pc.value_counts(ids)
    table = pa.table({"id": counted.field("values"), "count": counted.field("counts")})
    return table.filter(pc.not_equal(table["id"], pa.scalar(MISSING_BYTES if binary else MISSING_INT, ids.type)))


@dataclasses.dataclass
class _Counts:
    """Counts of one column: partial ones, those added up, and sorted runs on disk."""

    partial: list[pa.Table] = dataclasses.field(default_factory=list)
    added_up: pa.Table | None = None
    runs: list[Path] = dataclasses.field(default_factory=list)
    partial_rows: int = 0

    @property
    def rows(self) -> int:
        return self.partial_rows + (self.added_up.num_rows if self.added_up is not None else 0)

    def add_up(self) -> None:
        tables = [*self.partial, *([self.added_up] if self.added_up is not None else [])]
        if self.partial:
            self.added_up = _summed(pa.concat_tables(tables))
        self.partial, self.partial_rows = [], 0


class IdCounter:
    """Counts the ids of several columns within one limit of distinct ids in memory.

    What does not fit is sorted by id and written to Parquet files in `directory`, which are merged when asked for. The
    answers do not depend on the limit.
    """

    def __init__(self, *, directory: Path, max_distinct_in_memory: int = 5_000_000) -> None:
        """Starts with nothing counted.

        Args:
          directory: An existing directory for what does not fit.
          max_distinct_in_memory: Distinct ids held in memory, over all columns.
        """
        if max_distinct_in_memory < 1:
            raise ValueError(f"max_distinct_in_memory must be at least 1. Received: {max_distinct_in_memory}.")
        self._directory = directory
        self._limit = max_distinct_in_memory
        self._counts: dict[str, _Counts] = {}
        self._files = 0

    def add(self, column: str, counts: pa.Table) -> None:
        """Adds counts of a column, as from `count_values`."""
        known = self._counts.setdefault(column, _Counts())
        known.partial.append(counts)
        known.partial_rows += counts.num_rows
        done = known.added_up.num_rows if known.added_up is not None else 0
        if known.partial_rows >= max(_COMPACT_ROWS, done):
            known.add_up()
        while sum(each.rows for each in self._counts.values()) > self._limit:
            largest = max(self._counts.values(), key=lambda each: each.rows)
            rows = largest.rows
            largest.add_up()
            if largest.rows == rows or largest.rows > self._limit // 2:
                self._spill(largest)

    def distinct(self, column: str) -> int:
        """How many different ids a column has."""
        return sum(table.num_rows for table in self.by_id([column]))

    def by_id(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The counts of several columns together, in ascending order of ids; each id comes once."""
        streams: list[Iterator[pa.Table]] = []
        for column in columns:
            counts = self._counts.get(column, _Counts())
            counts.add_up()
            streams.extend(read_run(path) for path in counts.runs)
            if counts.added_up is not None:
                streams.append(iter([sorted_by(counts.added_up, ["id"])]))
        for table in merge_runs(streams, keys=["id"]):
            yield sorted_by(_summed(table), ["id"])

    def ranked(self, columns: Sequence[str], *, min_count: int = 1, max_size: int | None = None) -> Iterator[pa.Table]:
        """The ids of several columns together, most frequent first; equally frequent ones in ascending order.

        Args:
          columns: Columns that share a vocabulary.
          min_count: Ids that occur less often, over all of them, are left out.
          max_size: The most ids to give; `None` for all.
        """
        left = max_size
        for table in self._by_rank(columns, min_count):
            cut = table if left is None else table.slice(0, left)
            yield cut.select(["id", "count"])
            left = None if left is None else left - cut.num_rows
            if left == 0:
                return

    def _by_rank(self, columns: Sequence[str], min_count: int) -> Iterator[pa.Table]:
        keys = ["negative_count", "id"]
        runs: list[Path] = []
        held: list[pa.Table] = []
        for table in self.by_id(columns):
            frequent = table.filter(pc.greater_equal(table["count"], min_count))
            held.append(frequent.append_column("negative_count", pc.negate(frequent["count"])))
            if sum(part.num_rows for part in held) > self._limit:
                runs.append(self._write(pa.concat_tables(held), keys))
                held = []
        in_memory = [iter([sorted_by(pa.concat_tables(held), keys)])] if held else []
        yield from merge_runs([*(read_run(path) for path in runs), *in_memory], keys=keys)
        for path in runs:
            path.unlink()

    def _spill(self, counts: _Counts) -> None:
        counts.add_up()
        if counts.added_up is not None:
            counts.runs.append(self._write(counts.added_up, ["id"]))
            counts.added_up = None

    def _write(self, table: pa.Table, keys: Sequence[str]) -> Path:
        path = self._directory / f"run-{self._files:05d}.parquet"
        self._files += 1
        write_run(table, path=path, keys=keys)
        return path


def ids_of(tables: Iterator[pa.Table]) -> Iterator[int | bytes]:
    """The ids of ranked tables, one by one."""
    for table in tables:
        yield from table["id"].to_pylist()


def _summed(table: pa.Table) -> pa.Table:
    summed = table.group_by("id", use_threads=False).aggregate([("count", "sum")])
    return summed.select(["id", "count_sum"]).rename_columns(["id", "count"])
