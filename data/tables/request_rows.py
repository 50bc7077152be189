"""Which staged rows belong to one request: rows that are equal in some columns of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fullrank.data.tables.columns import BAD
from fullrank.data.tables.staged_rows import ROWS, SOURCE, StagedRows

REQUEST_TIME: Final = "request_time"
"""Column of the staged rows: the earliest time of the row's request, if the schema has a time."""
_KEY: Final = "request_key"


def request_extras(columns: Sequence[str]) -> dict[str, str]:
    """The extras of `StagedRows` that hold the columns that a request is known by."""
    return {f"{_KEY}{number}": column for number, column in enumerate(columns)}


def add_requests(rows: StagedRows, columns: Sequence[str]) -> None:
    """Finds the request of every row, from when on `rows.request` is set and splits take whole requests.

    Rows of one source that are equal in all of `columns` are a request; ids are compared as the schema reads them,
    other columns as text. A row in which one of them is missing is a request of its own.

    Args:
      rows: All rows, with the extras of `request_extras`.
      columns: The columns that a request is known by.
    """
    keys = [rows.known_by(extra) for extra in request_extras(columns)]
    missing = " OR ".join(f"{key} IS NULL" for key in keys)
    alone = f"CASE WHEN {missing} THEN rowid END"
    good = f"FILTER (WHERE {BAD} IS NULL) OVER request"
    found = [f"min(rowid) {good} AS request"]
    if rows.schema.time is not None:
        found.append(f"min({rows.stored_as(rows.schema.time)}) {good} AS {REQUEST_TIME}")
    window = f"WINDOW request AS (PARTITION BY {SOURCE}, {', '.join(keys)}, {alone})"
    query = f"SELECT {', '.join(found)} FROM {ROWS} {window} ORDER BY rowid"
    rows.put_query_beside("requests", query, instead={})
    rows.request = "requests.request"
