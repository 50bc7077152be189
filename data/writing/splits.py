"""Divides staged rows into splits, each of which is a condition on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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
    begins = ["TRUE"]
    for share in np.cumsum(fractions)[:-1]:
        found = rows.connection.execute(
            f"SELECT {at}, {first} FROM {relation} WHERE {good} ORDER BY {at}, {first} LIMIT 1 "
            f"OFFSET {round(total * float(share))}"
        ).fetchall()
        begins += [f"({at} > {when} OR ({at} = {when} AND {first} >= {row}))" for when, row in found] or ["FALSE"]
    ends = [*(f"NOT {begin}" for begin in begins[1:]), "TRUE"]
    names = SPLITS[: len(fractions)]
    return {name: f"{good} AND {begin} AND {end}" for name, begin, end in zip(names, begins, ends, strict=True)}


def at_random(rows: StagedRows, *, fractions: Sequence[float], seed: int = 0) -> Splits:
    """Each row goes to a split by a hash of its number and `seed`, so that every run agrees; a request by its first."""
    limits = np.cumsum(fractions)[:-1]
    numbers = np.arange(rows.total, dtype=np.uint64)
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
    query = f"SELECT DISTINCT {SPLIT_COLUMN} FROM {ROWS} WHERE {BAD} IS NULL ORDER BY ALL NULLS FIRST LIMIT {_MOST + 1}"
    names = [(name or b"").decode(errors="replace") for (name,) in rows.connection.execute(query).fetchall()]
    if len(names) > _MOST or "" in names:
        shown = ", ".join(map(repr, names[:5]))
        raise ValueError(f"Column {column!r} must hold the name of a split on every row. It holds {shown}.")
    ordered = sorted(names, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    return {name: f"{BAD} IS NULL AND {SPLIT_COLUMN} = from_hex('{name.encode().hex()}')" for name in ordered}


def _uniform(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """SplitMix64 of number and seed, as a uniform number in [0, 1)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(2**53)
