"""Step 2: histories and numbers of the past, for groups of keys: all rows of a key are in one group, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

from fullrank.data.beam.job import Job, by_group, insert, packed, unpacked, write_arrow
from fullrank.data.tables.columns import BAD
from fullrank.data.tables.staged_rows import ROWS

_GROUP: Final = "key_group"
_FILE: Final = "file_number"
_ROW: Final = "row_number"

Group = tuple[int, int]
"""The number of a declaration, and of a group of its keys."""
Piece = tuple[int, bytes]
"""The number of a file or of a declaration, and rows."""


def rows_by_key(number: int, job: Job) -> Iterator[tuple[Group, Piece]]:
    """Divides the rows of a file by the keys of each declaration."""
    with job.read_rows(number) as rows:
        for place, declaration in enumerate(job.declarations):
            keys = [rows.stored_as(name) for name in declaration.by]
            needed = dict.fromkeys([*declaration.read, str(job.schema.time)])
            # Rows without a key have no past, and are spread over all groups.
            missing = " OR ".join(f"{key} IS NULL" for key in keys)
            group = f"CASE WHEN {missing} THEN hash(rowid) ELSE hash({', '.join(keys)}) END % {job.groups}"
            cells = [f"CAST({group} AS INTEGER) AS {_GROUP}", f"rowid AS {_ROW}", BAD, *map(rows.stored_as, needed)]
            query = f"SELECT {', '.join(cells)} FROM {ROWS} ORDER BY {_GROUP}, {_ROW}"
            table = rows.connection.sql(query).to_arrow_table()
            for found, part in by_group(table, _GROUP):
                yield (place, found), (number, packed(part))


def with_earlier(grouped: tuple[Group, Iterable[Piece]], job: Job) -> Iterator[tuple[int, Piece]]:
    """Fills the columns of a declaration for the rows of some keys, and returns them by file."""
    (place, _), pieces = grouped
    declaration = job.declarations[place]
    tables = []
    for number, content in sorted(pieces, key=lambda piece: piece[0]):
        part = unpacked(content)
        tables.append(part.append_column(_FILE, pa.array([number] * part.num_rows, pa.int64())))
    given = pa.concat_tables(tables)
    with job.database() as (rows, _):
        # The order of the rows, which decides between equal times, is that of the files.
        insert(rows, given, columns=f"* EXCLUDE ({_FILE}, {_ROW})")
        rows.put_beside("places", given.select([_FILE, _ROW]))
        declaration.fill(rows)
        cells = [f"{rows.value_of(name)} AS e{k}" for k, name in enumerate(declaration.names)]
        query = f"SELECT {_FILE}, {_ROW}, {', '.join(cells)} FROM {rows.relation} ORDER BY {_FILE}, {_ROW}"
        table = rows.connection.sql(query).to_arrow_table()
    for number, part in by_group(table, _FILE):
        yield number, (place, packed(part))


def keep_earlier(grouped: tuple[int, Iterable[Piece]], job: Job) -> None:
    """Writes the filled columns of a file, one row for each of its rows, in their order."""
    number, pieces = grouped
    parts: dict[int, list[pa.Table]] = {}
    for place, content in pieces:
        parts.setdefault(place, []).append(unpacked(content))
    for place, tables in parts.items():
        table = pa.concat_tables(tables).sort_by(_ROW).drop_columns([_ROW])
        write_arrow(job.place(number, f"earlier-{place}.arrow"), table.schema, table.to_batches())
