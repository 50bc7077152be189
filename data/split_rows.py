"""Divides the rows of tables into splits without holding them: each split filters its rows out of a pass of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.cells import texts, times
from fullrank.data.columns import MISSING_INT
from fullrank.data.count_ids import IdCounter, count_values
from fullrank.data.lists import plain
from fullrank.data.schema import Schema
from fullrank.data.scratch import temporary_directory
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN, shown
from fullrank.data.table_reader import TableReader

SPLITS: Final = ("train", "validation", "test")

Assign = Callable[[pa.RecordBatch], npt.NDArray[Any]]
"""Gives each row of the next batch of a pass the number of its split, or -1 to leave it out."""


@dataclasses.dataclass(frozen=True)
class _Division:
    """How the rows of a reader are divided.

    Attributes:
      reader: The tables.
      columns: Columns to read for the records.
      deciding: Columns that decide on the split.
      start: Starts an assignment for a pass over all rows.
      splits: How many splits there are.
    """

    reader: TableReader
    columns: tuple[str, ...]
    deciding: tuple[str, ...]
    start: Callable[[], Assign]
    splits: int

    @functools.cached_property
    def counts(self) -> list[int]:
        """Rows of each split, from one pass over the deciding columns."""
        counts = np.zeros(self.splits, np.int64)
        assign = self.start()
        for batch in self.reader.batches(self.deciding):
            numbers = assign(batch)
            counts += np.bincount(numbers[numbers >= 0], minlength=self.splits)
        return [int(count) for count in counts]


@dataclasses.dataclass(frozen=True)
class SplitRows:
    """The rows of one split; calling it starts a pass, as `build_records` wants it."""

    division: _Division
    number: int

    @property
    def rows(self) -> int:
        """How many rows a pass gives."""
        return self.division.counts[self.number]

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order of the files."""
        assign = self.division.start()
        for batch in self.division.reader.batches([*self.division.columns, *self.division.deciding]):
            yield batch.filter(pa.array(assign(batch) == self.number))


def by_time(
    reader: TableReader, *, schema: Schema, fractions: Sequence[float], max_distinct_in_memory: int = 5_000_000
) -> dict[str, SplitRows]:
    """The oldest rows become `train`, the next `validation`, the newest `test`.

    The split is exactly that of a stable sort of all rows by time: a first pass counts how often each time occurs and
    finds the time at which a split ends; among rows of that time, those that come first belong to the earlier split.
    Within a split rows keep the order of the files.

    Args:
      reader: The tables.
      schema: With a `time` column.
      fractions: Shares of two or three splits.
      max_distinct_in_memory: Distinct times that are counted in memory.

    Raises:
      ValueError: If the schema has no time, or a row has none and bad rows are not skipped.
    """
    if schema.time is None:
        raise ValueError('--split=time needs a time column in the schema: set its "time", or use --split=random.')
    read_times = functools.partial(_times, column=schema.time, unit=schema.time_unit)
    with temporary_directory("times") as directory:
        counter = IdCounter(directory=directory, max_distinct_in_memory=max_distinct_in_memory)
        total = 0
        for batch in reader.batches([schema.time]):
            found = read_times(batch)
            for row in np.flatnonzero(found == MISSING_INT).tolist():
                where = f"{batch.column(FILE_COLUMN)[row].as_py()}, row {batch.column(ROW_COLUMN)[row].as_py()}"
                value = batch.column(schema.time)[row].as_py()
                reader.bad_rows.add(
                    f"{where}, column {schema.time!r}: {shown(value)} is no time, by which rows are to be split."
                )
            counter.add("time", count_values(found))
            total += int((found != MISSING_INT).sum())
        ends = _ends(counter, _boundaries(total, fractions))
    division = _Division(
        reader=reader,
        columns=tuple(column.name for column in schema.columns),
        deciding=(schema.time,),
        start=functools.partial(_TimeAssignment, read_times, ends),
        splits=len(fractions),
    )
    return {name: SplitRows(division, number) for number, name in enumerate(SPLITS[: len(fractions)])}


def at_random(
    reader: TableReader, *, schema: Schema, fractions: Sequence[float], seed: int = 0
) -> dict[str, SplitRows]:
    """Each row goes to a split by a hash of its position and `seed`, so that every pass and every run agree."""
    division = _Division(
        reader=reader,
        columns=tuple(column.name for column in schema.columns),
        deciding=(),
        start=functools.partial(_RandomAssignment, tuple(fractions), seed),
        splits=len(fractions),
    )
    return {name: SplitRows(division, number) for number, name in enumerate(SPLITS[: len(fractions)])}


def by_column(reader: TableReader, *, schema: Schema, column: str) -> dict[str, SplitRows]:
    """The values of a column are the names of the splits.

    Raises:
      ValueError: If a file has no such column, or there are more than 20 different values.
    """
    names: set[bytes] = set()
    for batch in reader.batches([column]):
        if column not in batch.schema.names:
            file = batch.column(FILE_COLUMN)[0].as_py() if batch.num_rows else "the input"
            raise ValueError(f"{file} has no column {column!r}, which --split_column names.")
        names |= set(texts(plain(batch.column(column))).values.tolist())
        if len(names) > 20 or b"" in names:
            shown = ", ".join(repr(name.decode(errors="replace")) for name in sorted(names)[:5])
            raise ValueError(f"Column {column!r} must hold the name of a split on every row. It holds {shown}.")
    order = {name.encode(): number for number, name in enumerate(SPLITS)}
    ordered = sorted(names, key=lambda name: (order.get(name, len(SPLITS)), name))
    division = _Division(
        reader=reader,
        columns=tuple(wanted.name for wanted in schema.columns),
        deciding=(column,),
        start=functools.partial(_assignment_by_name, column, ordered),
        splits=len(ordered),
    )
    return {name.decode(errors="replace"): SplitRows(division, number) for number, name in enumerate(ordered)}


def whole(reader: TableReader, *, schema: Schema) -> SplitRows:
    """All rows as one split."""
    return at_random(reader, schema=schema, fractions=(1.0,))[SPLITS[0]]


class _TimeAssignment:
    """Compares times with the ends of splits; counts rows at the very end of one as they come."""

    def __init__(
        self, read_times: Callable[[pa.RecordBatch], npt.NDArray[np.int64]], ends: list[tuple[int, int]]
    ) -> None:
        self._read_times = read_times
        self._ends = ends
        self._seen = [0] * len(ends)

    def __call__(self, batch: pa.RecordBatch) -> npt.NDArray[Any]:
        found = self._read_times(batch)
        numbers = np.zeros(len(found), np.int64)
        for index, (end, ties_before) in enumerate(self._ends):
            tie = found == end
            rank = self._seen[index] + np.cumsum(tie)
            numbers += (found > end) | (tie & (rank > ties_before))
            self._seen[index] += int(tie.sum())
        return np.where(found == MISSING_INT, -1, numbers)


class _RandomAssignment:
    """Hashes the number of each row of the pass."""

    def __init__(self, fractions: tuple[float, ...], seed: int) -> None:
        self._limits = np.cumsum(fractions)[:-1]
        self._seed = seed
        self._rows = 0

    def __call__(self, batch: pa.RecordBatch) -> npt.NDArray[Any]:
        numbers = np.arange(self._rows, self._rows + batch.num_rows, dtype=np.uint64)
        self._rows += batch.num_rows
        return np.searchsorted(self._limits, _uniform(numbers, self._seed), side="right")


def _assignment_by_name(column: str, names: list[bytes]) -> Assign:
    numbers = {name: number for number, name in enumerate(names)}

    def assign(batch: pa.RecordBatch) -> npt.NDArray[Any]:
        values = texts(plain(batch.column(column))).values
        return np.fromiter((numbers[value] for value in values), np.int64, len(values))

    return assign


def _times(batch: pa.RecordBatch, *, column: str, unit: str) -> npt.NDArray[np.int64]:
    if column not in batch.schema.names:
        return np.full(batch.num_rows, MISSING_INT, np.int64)
    parsed = times(plain(batch.column(column)), unit=unit)
    found = np.array(parsed.values)
    found[parsed.bad] = MISSING_INT
    return found


def _boundaries(total: int, fractions: Sequence[float]) -> list[int]:
    """How many rows lie before the end of each split but the last."""
    return [round(total * share) for share in np.cumsum(fractions)[:-1]]


def _ends(counter: IdCounter, boundaries: list[int]) -> list[tuple[int, int]]:
    """For each boundary the time at which it falls and how many rows of that time lie before it."""
    ends: list[tuple[int, int]] = []
    before = 0
    for table in counter.by_id(["time"]):
        found, counts = table["id"].to_numpy(), table["count"].to_numpy()
        after = before + np.cumsum(counts)
        while len(ends) < len(boundaries) and len(after) and after[-1] >= boundaries[len(ends)]:
            boundary = boundaries[len(ends)]
            index = int(np.searchsorted(after, boundary, side="left"))
            ends.append((int(found[index]), boundary - int(after[index] - counts[index])))
        before = int(after[-1]) if len(after) else before
    return ends


def _uniform(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """SplitMix64 of number and seed, as a uniform number in [0, 1)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(2**53)
