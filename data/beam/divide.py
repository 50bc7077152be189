"""Between the steps: which rows of each file belong to which split, and where they are among all rows of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow.dataset as pa_dataset

from fullrank.data.beam.job import Job
from fullrank.data.beam.read_file import TIMES
from fullrank.data.tables.columns import BAD, stored
from fullrank.data.tables.staged_rows import ROWS, StagedRows
from fullrank.data.writing.splits import (
    SPLITS,
    Splits,
    Start,
    at_random,
    by_name,
    by_source,
    check_split_names,
    from_starts,
    places_in_time,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """How rows are divided.

    Attributes:
      before: For each file, how many rows all files before it have, bad ones included.
      starts: The first row of each split by time but the first.
      names: Names of the splits by a column.
    """

    before: tuple[int, ...]
    starts: tuple[Start | None, ...] = ()
    names: tuple[str, ...] = ()

    def split_names(self, job: Job) -> tuple[str, ...]:
        """The splits, in order."""
        if job.how == "source":
            return job.sources
        return tuple(by_name(self.names)) if job.how == "column" else SPLITS[: len(job.fractions)]

    def splits(self, rows: StagedRows, number: int, job: Job) -> Splits:
        """The splits of the rows of the `number`-th file."""
        before = self.before[number]
        if job.how == "source":
            return by_source(rows)
        if job.how == "column":
            return by_name(self.names)
        if job.how == "random":
            return at_random(rows, fractions=job.fractions, seed=job.seed, before=before)
        time = rows.stored_as(str(job.schema.time))
        own = [None if start is None else start._replace(row=start.row - before) for start in self.starts]
        return from_starts(f"{BAD} IS NULL AND {time} IS NOT NULL", at=time, first=f"{ROWS}.rowid", starts=own)


def divided(
    job: Job, found: Sequence[Mapping[str, Any]], connection: duckdb.DuckDBPyConnection, *, column: str
) -> Division:
    """Decides how rows are divided, from what step 1 noted about every file.

    Args:
      job: The conversion.
      found: The notes.
      connection: A database for counts of times.
      column: The column that names the splits, for messages.

    Raises:
      ValueError: If the column holds something else than names of splits.
    """
    before = tuple(itertools.accumulate((int(each["rows"]) for each in found), initial=0))[:-1]
    if job.how == "column":
        names = sorted({name for each in found for name in each["names"]})
        check_split_names(names, column=column)
        return Division(before=before, names=tuple(names))
    if job.how != "time":
        return Division(before=before)
    return Division(before=before, starts=_starts(job, before, connection))


def _starts(job: Job, before: tuple[int, ...], connection: duckdb.DuckDBPyConnection) -> tuple[Start | None, ...]:
    """The first rows of the splits by time, from the counts of every time in every file."""
    connection.execute("CREATE TEMP TABLE times (file INTEGER, time BIGINT, n BIGINT)")
    for number in range(len(job.files)):
        connection.register("given", pa_dataset.dataset(job.place(number, f"{TIMES}.arrow"), format="ipc"))
        connection.execute(f"INSERT INTO times SELECT {number}, time, n FROM given")
        connection.unregister("given")
    total = int(connection.execute("SELECT coalesce(sum(n), 0) FROM times").fetchall()[0][0])
    starts = []
    for place in places_in_time(total, job.fractions):
        # Among rows of one time, those of earlier files come first.
        found = connection.execute(
            "SELECT file, time, place FROM (SELECT file, time, n, "
            f"{place} - (sum(n) OVER (ORDER BY time, file) - n) AS place FROM times) WHERE place >= 0 AND place < n"
        ).fetchall()
        starts.append(_start(job, before, *map(int, found[0])) if found else None)
    connection.execute("DROP TABLE times")
    return tuple(starts)


def _start(job: Job, before: tuple[int, ...], number: int, time: int, place: int) -> Start:
    """The row that is the `place`-th good one, from 0, of a time in a file."""
    own = stored(next(k for k, column in enumerate(job.schema.columns) if column.name == job.schema.time))
    with job.read_rows(number) as rows:
        row = rows.value(
            f"SELECT rowid FROM {ROWS} WHERE {BAD} IS NULL AND {own} = {time} ORDER BY rowid LIMIT 1 OFFSET {place}"
        )
    return Start(time, before[number] + int(row))
