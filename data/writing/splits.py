"""Divides staged rows into splits, each of which is a condition on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.tables.columns import BAD
from fullrank.data.tables.request_rows import REQUEST_TIME
from fullrank.data.tables.staged_rows import ROWS, SOURCE, StagedRows

SPLITS: Final = ("train", "validation", "test")
SPLIT_COLUMN: Final = "split_name"
"""Name, among the extras of `StagedRows`, of the column that `by_column` reads."""
_MOST: Final = 20

Splits = dict[str, str]
"""Name of a split -> the condition on staged rows that chooses its rows; within it rows keep their order."""


def by_source(rows: StagedRows) -> Splits:
    """One split per source."""
    return {name: f"{BAD} IS NULL AND {SOURCE} = {number}" for number, name in enumerate(rows.sources)}


def by_time(rows: StagedRows, *, fractions: Sequence[float]) -> Splits:
    """The oldest good rows become `train`, the next `validation`, the newest `test`.

    The split is exactly that of a stable sort by time: among rows of the time at which a split ends, those that come
    first belong to the earlier one. Rows that are grouped by request follow the earliest time of their request, and a
    split ends where a request does.

    Args:
      rows: Whose schema has a time.
      fractions: Shares of one to three splits.

    Raises:
      ValueError: If the schema has no time, or a row has none and bad rows are not skipped.
    """
    if rows.schema.time is None:
        raise ValueError('--split=time needs a time column in the schema: set its "time", or use --split=random.')
    time = rows.stored_as(rows.schema.time)
    at, first, relation = time, f"{ROWS}.rowid", ROWS
    if rows.request is not None:
        at, first, relation = REQUEST_TIME, rows.request, rows.relation
    without = f"SELECT rowid FROM {ROWS} WHERE {BAD} IS NULL AND {time} IS NULL ORDER BY rowid"
    for (row,) in rows.connection.execute(without).fetchall():
        file, number = rows.where(row)
        rows.bad_rows.add(
            f"{file}, row {number}, column {rows.schema.time!r}: an empty cell is not a time, which the "
            "split by time needs.",
            file=file,
            row=number,
        )
    good = f"{BAD} IS NULL AND {time} IS NOT NULL"
    total = int(rows.value(f"SELECT count(*) FROM {ROWS} WHERE {good}"))
    starts: list[Start | None] = []
    for place in places_in_time(total, fractions):
        found = rows.connection.execute(
            f"SELECT {at}, {first} FROM {relation} WHERE {good} ORDER BY {at}, {first} LIMIT 1 OFFSET {place}"
        ).fetchall()
        starts.append(Start(*found[0]) if found else None)
    return from_starts(good, at=at, first=first, starts=starts)


class Start(NamedTuple):
    """The first row of a split by time: its time, and its number."""

    time: int
    row: int


def places_in_time(total: int, fractions: Sequence[float]) -> list[int]:
    """How many rows, in the order of time, come before each split but the first."""
    return [round(total * float(share)) for share in np.cumsum(fractions)[:-1]]


def from_starts(good: str, *, at: str, first: str, starts: Sequence[Start | None]) -> Splits:
    """The splits by time that begin at these rows.

    Args:
      good: Condition of the rows that belong to any split.
      at: Expression of the time of a row.
      first: Expression of its number.
      starts: The first row of each split but the first; `None` for a split without rows.
    """
    begins = ["TRUE"]
    for start in starts:
        if start is None:
            begins.append("FALSE")
        else:
            begins.append(f"({at} > {start.time} OR ({at} = {start.time} AND {first} >= {start.row}))")
    ends = [*(f"NOT {begin}" for begin in begins[1:]), "TRUE"]
    names = SPLITS[: len(begins)]
    return {name: f"{good} AND {begin} AND {end}" for name, begin, end in zip(names, begins, ends, strict=True)}


def at_random(rows: StagedRows, *, fractions: Sequence[float], seed: int = 0, before: int = 0) -> Splits:
    """Each row goes to a split by a hash of its number and `seed`, so that every run agrees; a request by its first.

    Args:
      rows: Rows that are not yet divided.
      fractions: Shares of one to three splits.
      seed: Another seed gives another division.
      before: How many rows of the inputs come before these.
    """
    limits = np.cumsum(fractions)[:-1]
    numbers = np.arange(before, before + rows.total, dtype=np.uint64)
    if rows.request is not None:
        found = rows.connection.execute(f"SELECT coalesce({rows.request}, 0) AS first FROM {rows.relation}")
        numbers = found.fetchnumpy()["first"].astype(np.uint64)
    split = np.searchsorted(limits, _uniform(numbers, seed), side="right").astype(np.uint8)
    rows.put_beside("divided", pa.table({"split": split}))
    return {name: f"{BAD} IS NULL AND split = {number}" for number, name in enumerate(SPLITS[: len(fractions)])}


def by_column(rows: StagedRows, *, column: str) -> Splits:
    """The values of a column, which is the extra `SPLIT_COLUMN` of the rows, are the names of the splits.

    Raises:
      ValueError: If a row has no value, or there are more than 20 different ones.
    """
    names = names_of_splits(rows)
    check_split_names(names, column=column)
    return by_name(names)


def names_of_splits(rows: StagedRows) -> list[str]:
    """The different values of `SPLIT_COLUMN`, sorted, the first 21 of them; empty for a missing value."""
    query = f"SELECT DISTINCT {SPLIT_COLUMN} FROM {ROWS} WHERE {BAD} IS NULL ORDER BY ALL NULLS FIRST LIMIT {_MOST + 1}"
    return [(name or b"").decode(errors="replace") for (name,) in rows.connection.execute(query).fetchall()]


def check_split_names(names: Sequence[str], *, column: str) -> None:
    """Rejects values of a column that cannot be names of splits.

    Raises:
      ValueError: If one is empty, or there are more than 20.
    """
    if len(names) > _MOST or "" in names:
        shown = ", ".join(map(repr, names[:5]))
        raise ValueError(f"Column {column!r} must hold the name of a split on every row. It holds {shown}.")


def by_name(names: Iterable[str]) -> Splits:
    """Splits whose names are the values of `SPLIT_COLUMN`, the usual ones first."""
    ordered = sorted(names, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    return {name: f"{BAD} IS NULL AND {SPLIT_COLUMN} = from_hex('{name.encode().hex()}')" for name in ordered}


def _uniform(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """SplitMix64 of number and seed, as a uniform number in [0, 1)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(2**53)
