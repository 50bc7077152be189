"""Step 1: reads one file as the local conversion does, and keeps its rows, its bad rows and counts for the splits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fullrank.data.beam.job import STAGED, Job, write_query
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.columns import BAD
from fullrank.data.tables.files import TableFiles
from fullrank.data.tables.flags import open_joins
from fullrank.data.tables.given_sequences import order_of_sequences
from fullrank.data.tables.staged_rows import ROWS, StagedRows
from fullrank.data.writing.splits import by_time, names_of_splits

TIMES = "times"
"""How many good rows a file has at each time."""


def read_file(number: int, job: Job) -> None:
    """Reads the `number`-th file.

    What is wrong with it is written down, not raised: Beam would repeat the step, and wrap the message.
    """
    try:
        found = _read(number, job)
    except ValueError as error:
        found = {"error": str(error)}
    job.note(number, STAGED, found)


def _read(number: int, job: Job) -> dict[str, Any]:
    given = job.files[number]
    # Whether bad rows are too many is decided when all files have been read.
    bad = BadRows(on_bad_record="skip", max_fraction=1.0)
    joined = [file for join in job.joins for file in join.files]
    readable = [Path(given.path), *joined]
    with job.database(bad_rows=bad, readable=readable, names=job.names[given.source]) as (rows, directory):
        tables = open_joins(rows.connection, job.joins, directory, reading=job.schema.reading)
        files = TableFiles(rows.connection, [Path(given.path)], dialect=given.dialect, directory=directory)
        rows.sources.extend(job.sources[: given.source])
        rows.add_files(job.sources[given.source], files, joins=tables)
        good = f"(SELECT * FROM {ROWS} WHERE {BAD} IS NULL)"
        orders = order_of_sequences(job.schema, rows.connection, good, place_of=rows.stored_as)
        found: dict[str, Any] = {
            "rows": rows.total,
            "seen": bad.seen,
            "rejects": list(bad.rejects),
            "partners": [rows.partners(place) for place in range(len(job.joins))],
            "orders": [dataclasses.asdict(order) for order in orders],
        }
        if job.how == "time":
            found["without_time"] = _times(number, job, rows)
        elif job.how == "column":
            found["names"] = names_of_splits(rows)
        write_query(job.place(number, f"{STAGED}.arrow"), rows, f"SELECT * FROM {ROWS}")
    return found


def _times(number: int, job: Job, rows: StagedRows) -> list[tuple[str, int, str]]:
    """Writes the counts of times, and returns the bad rows that have none."""
    before = len(rows.bad_rows.rejects)
    by_time(rows, fractions=[1.0])
    time = rows.stored_as(str(job.schema.time))
    query = (
        f"SELECT {time} AS time, count(*) AS n FROM {ROWS} WHERE {BAD} IS NULL AND {time} IS NOT NULL GROUP BY {time}"
    )
    write_query(job.place(number, f"{TIMES}.arrow"), rows, query)
    return rows.bad_rows.rejects[before:]
