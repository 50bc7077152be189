"""Rows of tables before they become records: read once, in canonical form, into a DuckDB database on disk."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from fullrank.data.schema.columns import MISSING_INT, Column
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.canonical import WrongTypeError, cell, identifier
from fullrank.data.tables.columns import BAD, TableColumn, TableColumns, check_names, sql_type, stored
from fullrank.data.tables.derived_columns import converted
from fullrank.data.tables.example_tables import LINES
from fullrank.data.tables.files import BROKEN, FILE, Part, TableFiles
from fullrank.data.tables.join import JoinTable, names_with_joins
from fullrank.data.tables.rejected_lines import RejectedLine, read_parts
from fullrank.data.tables.row_columns import without_halves

ROWS: Final = "staged"
SOURCE: Final = "source"
"""Column of `ROWS`: the number of the source that a row came from."""
REQUEST: Final = "request"
"""Column of `StagedRows.batches` with the request of each row."""
PLACE: Final = "place"
_PARTNER: Final = "partner"
_INSERTED_ROWS: Final = 65_536
_READ_ROWS: Final = 8_192


class StagedRows:
    """The table `ROWS`: one row for each row of the inputs, in their order; its `rowid` counts them from 0.

    It holds `SOURCE`, `FILE`, `BAD` (NULL for a good row), each column of the schema under the name `stored(k)`, NULL
    where its value is missing, and `extras` as text.

    Args:
      connection: From `open_database`.
      schema: The schema that rows are converted to.
      bad_rows: How bad rows are handled and counted.
      optional: Columns that an input may lack.
      joins: How many tables `add_files` joins.
      extras: Name in `ROWS` -> column of the inputs, kept as canonical text although the schema does not name it.

    Attributes:
      request: Expression in queries of `relation` for the request of a row, which is the `rowid` of its first good row;
        `None` if rows are not grouped by request.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        *,
        schema: Schema,
        bad_rows: BadRows,
        optional: Collection[str] = (),
        joins: int = 0,
        extras: Mapping[str, str] | None = None,
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.bad_rows = bad_rows
        self.sources: list[str] = []
        self.request: str | None = None
        self._beside: list[str] = []
        self._instead: dict[str, str] = {}
        self._reading = schema.reading or Reading()
        self._optional = frozenset(optional)
        self._extras = dict(extras or {})
        self._partners = [f"{_PARTNER}{number}" for number in range(joins)]
        kinds = [f"{stored(number)} {sql_type(column)}" for number, column in enumerate(schema.columns)]
        bad = f'{BAD} STRUCT("check" INTEGER, received VARCHAR, reason VARCHAR)'
        own = [f"{SOURCE} UTINYINT", f"{FILE} VARCHAR", bad, *kinds]
        own += [*(f"{name} BLOB" for name in self._extras), *(f"{name} BOOLEAN" for name in self._partners)]
        connection.execute(f"CREATE TABLE {ROWS} ({', '.join(own)})")

    @property
    def _derived(self) -> list[str]:
        return [column.name for column in self._reading.columns]

    @property
    def total(self) -> int:
        """Rows so far, bad ones included."""
        return int(self.value(f"SELECT count(*) FROM {ROWS}"))

    @property
    def relation(self) -> str:
        """The FROM expression: `ROWS` and the tables next to it."""
        return " POSITIONAL JOIN ".join([ROWS, *self._beside])

    def put_beside(self, name: str, table: pa.Table, *, instead: Mapping[str, str] | None = None) -> None:
        """Adds columns for all existing rows, in their order.

        Args:
          name: Name of the table that holds them.
          table: One row for each row of `ROWS`.
          instead: Column of the schema -> column of the table that takes its place.
        """
        self._instead.update({self.stored_as(column): f"{name}.{own}" for column, own in (instead or {}).items()})
        self.connection.register("given", table)
        self.connection.execute(f"CREATE TABLE {name} AS FROM given")
        self.connection.unregister("given")
        self._beside.append(name)

    def partners(self, number: int) -> int:
        """How many rows have a match in the `number`-th joined table."""
        return int(self.value(f"SELECT count(*) FILTER ({_PARTNER}{number}) FROM {ROWS}"))

    def stored_as(self, column: str) -> str:
        """The name in `ROWS` of a column of the schema."""
        return stored(next(number for number, each in enumerate(self.schema.columns) if each.name == column))

    def known_by(self, extra: str) -> str:
        """How a query of `ROWS` writes an extra by which rows are told apart: an id as the schema reads it."""
        column = next((each for each in self.schema.columns if each.name == self._extras[extra]), None)
        if column is None or column.form != "one":
            return extra
        name = self.stored_as(column.name)
        # Times and numbers lose digits as the schema stores them.
        return name if self._is_id(column) else f"CASE WHEN {name} IS NOT NULL THEN {extra} END"

    def where(self, row: int) -> tuple[str, int]:
        """The file, or source, of a row and its number in it, from 1."""
        source, file = self.connection.execute(f"SELECT {SOURCE}, {FILE} FROM {ROWS} WHERE rowid = {row}").fetchall()[0]
        same = f"{SOURCE} = {source} AND {FILE} IS NOT DISTINCT FROM (SELECT {FILE} FROM {ROWS} WHERE rowid = {row})"
        first = int(self.value(f"SELECT min(rowid) FROM {ROWS} WHERE {same}"))
        return file if file is not None else self.sources[source], row - first + 1

    def put_query_beside(self, name: str, query: str, *, instead: Mapping[str, str]) -> None:
        """Adds columns as `put_beside` does, from a query that returns one row per row of `ROWS`, in their order."""
        self.connection.execute(f"CREATE TABLE {name} AS {query}")
        self._beside.append(name)
        self._instead.update({self.stored_as(column): f"{name}.{own}" for column, own in instead.items()})

    def value_of(self, column: str) -> str:
        """How a query of `relation` writes a column of the schema, including those taken from earlier rows."""
        name = self.stored_as(column)
        return self._instead.get(name, name)

    def batches(
        self, where: str, lengths: Iterator[int], *, columns: Collection[Column] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a split in order, each batch with the next of `lengths` rows; the last one has the rest.

        If rows are grouped and all columns are wanted, requests come in the order of their first rows, each with its
        rows in theirs, and a further column `REQUEST` holds the request.
        """
        chosen = [stored(k) for k, column in enumerate(self.schema.columns) if columns is None or column in columns]
        cells = [f"{self._instead[name]} AS {name}" if name in self._instead else name for name in chosen]
        order = ""
        if self.request is not None and columns is None:
            cells.append(f"{self.request} AS {REQUEST}")
            order = f" ORDER BY {REQUEST}, {ROWS}.rowid"
        query = f"SELECT {', '.join(cells) or SOURCE} FROM {self.relation} WHERE {where}{order}"
        # A separate cursor, because other queries run while rows are read.
        yield from cut(self.connection.cursor().sql(query).to_arrow_reader(_READ_ROWS), lengths)

    def value(self, query: str) -> Any:
        """The only value of a query."""
        return self.connection.execute(query).fetchall()[0][0]

    def add_files(self, name: str, files: TableFiles, *, joins: Sequence[JoinTable] = ()) -> None:
        """Adds the rows of files as the next source; a column that only some of the files have is missing in others.

        Raises:
          ValueError: If files cannot be read or lack a column, or a row is bad and bad rows are not skipped.
        """
        self.sources.append(name)
        names = names_with_joins(list(files.names), joins, source=str(files.files[0]))
        own = [name for name in self._derived if name not in names]
        check_names([*names, *own], self.schema, source=str(files.files[0]), optional=self._optional)
        optional = frozenset({*names, *self._optional})
        before = self.total
        for query, rejected in read_parts(
            self.connection, files, lambda part: self._insert_part(part, joins, optional)
        ):
            self._judge(before, query, rejected, files=files.files)
            before = self.total

    @property
    def wanted(self) -> frozenset[str]:
        """The columns of tables that are read: those of the schema, extras, and what columns are computed from."""
        inputs = (given.name for column in self._reading.columns for given in column.inputs)
        return frozenset({*(column.name for column in self.schema.columns), *self._extras.values(), *inputs})

    def add_batches(self, name: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Adds rows in memory as the next source.

        Raises:
          ValueError: If a batch lacks a column, or a row is bad and bad rows are not skipped.
        """
        self.sources.append(name)
        wanted = self.wanted
        for schema, group in itertools.groupby(batches, key=lambda batch: batch.schema):
            own = [name for name in self._derived if name not in schema.names]
            check_names([*schema.names, *own], self.schema, optional=self._optional)
            chosen = [name for name in schema.names if name in wanted]
            for table in _large(group, chosen):
                self.connection.register("given", without_halves(table))
                rows = self.connection.sql("FROM given")
                kinds = zip(chosen, rows.columns, rows.types, strict=True)
                columns = {name: TableColumn(identifier(written), kind) for name, written, kind in kinds}
                before = self.total
                query = self._insert(columns, "given", source=name, file="NULL", optional=self._optional)
                self.connection.unregister("given")
                self._judge(before, query, [], files=())

    def _insert_part(self, part: Part, joins: Sequence[JoinTable], optional: Collection[str]) -> TableColumns:
        sql, columns = part.sql, part.columns
        if joins:
            # A join may change the order of rows.
            sql = f"(SELECT *, row_number() OVER () AS {PLACE} FROM {sql})"
        for number, join in enumerate(joins):
            sql, columns = join.joined(sql, columns, alias=f"j{number}", source=str(part.files[0]))
        return self._insert(
            columns,
            sql,
            source=str(part.files[0]),
            file=FILE,
            optional=optional,
            broken=part.broken,
            ordered=bool(joins),
        )

    def _insert(
        self,
        columns: Mapping[str, TableColumn],
        sql: str,
        *,
        source: str,
        file: str,
        optional: Collection[str],
        broken: str | None = None,
        ordered: bool = False,
    ) -> TableColumns:
        query, sql = converted(self.connection, sql, columns, self.schema, optional=optional)
        if broken is not None:
            query.add_check(BROKEN, received=LINES, reason=broken)
        missing = self._reading.missing
        extras = [
            f"{_text(columns, column, source=source, missing=missing)} AS {name}"
            for name, column in self._extras.items()
        ]
        keep = [f"{len(self.sources) - 1} AS {SOURCE}", f"{file} AS {FILE}", *extras, *([PLACE] if ordered else [])]
        known = [f"j{k}_key IS NOT NULL" if ordered else "FALSE" for k in range(len(self._partners))]
        keep += [f"{condition} AS {name}" for condition, name in zip(known, self._partners, strict=True)]
        names = ", ".join([SOURCE, FILE, BAD, *self._values(), *self._extras, *self._partners])
        order = f" ORDER BY {PLACE}" if ordered else ""
        self.connection.execute(f"INSERT INTO {ROWS} SELECT {names} FROM ({query.query(sql, keep=keep)}){order}")
        return query

    def _is_id(self, column: Column) -> bool:
        return column.form == "one" and column.dtype != "float32" and column.name != self.schema.time

    def _values(self) -> list[str]:
        return [
            f"nullif({stored(k)}, {MISSING_INT})" if column.dtype == "int64" and self._is_id(column) else stored(k)
            for k, column in enumerate(self.schema.columns)
        ]

    def _judge(self, before: int, query: TableColumns, rejected: list[RejectedLine], *, files: Sequence[Path]) -> None:
        """Counts the bad ones among the rows from `before` on, and the lines that are not rows, file by file."""
        found = self.connection.execute(
            f"SELECT rowid, {FILE}, {BAD} FROM {ROWS} WHERE rowid >= {before} AND {BAD} IS NOT NULL ORDER BY rowid"
        ).fetchall()
        first = self._first_rows(before) if found else {}
        bad: list[tuple[str, int, str]] = [(str(line.file), line.line, str(line)) for line in rejected]
        for row, file, value in found:
            number = row - first[file] + 1
            where = f"{file}, row {number}" if file is not None else f"{self.sources[-1]}, row {number}"
            bad.append((file or self.sources[-1], number, f"{where}, {query.describe(value)}"))
        order = {str(file): number for number, file in enumerate(files)}
        for file, number, message in sorted(bad, key=lambda each: order.get(each[0], 0)):
            self.bad_rows.add(message, file=file, row=number)
        self.bad_rows.saw(self.total - before + len(rejected))

    def _first_rows(self, before: int) -> dict[str | None, int]:
        """File -> `rowid` of its first row, among the rows from `before` on; of the source if it has no files."""
        numbers = f"SELECT {FILE}, min(rowid) FROM {ROWS} WHERE {SOURCE} = {len(self.sources) - 1} GROUP BY {FILE}"
        return dict(self.connection.execute(numbers).fetchall())


def _large(batches: Iterable[pa.RecordBatch], columns: list[str]) -> Iterator[pa.Table]:
    """Batches as tables of some ten thousand rows, so that few queries insert them."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch.select(columns))
        if sum(each.num_rows for each in held) >= _INSERTED_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def cut(batches: Iterable[pa.RecordBatch], lengths: Iterator[int]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of the given lengths; the last one has the rest."""
    held: list[pa.RecordBatch] = []
    rows, length = 0, next(lengths, None)
    for batch in batches:
        while batch.num_rows:
            room = batch.num_rows if length is None else min(batch.num_rows, length - rows)
            held.append(batch.slice(0, room))
            rows += room
            batch = batch.slice(room)
            if rows == length:
                yield _joined(held)
                held, rows, length = [], 0, next(lengths, None)
    if rows:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _text(columns: Mapping[str, TableColumn], name: str, *, source: str, missing: Sequence[str]) -> str:
    """A column as canonical text, whatever its type."""
    if name not in columns:
        return "CAST(NULL AS BLOB)"
    expression, kind = columns[name]
    try:
        value = cell("text", expression, kind.id, missing=missing).value
    except WrongTypeError:
        raise WrongTypeError(
            f"{source}, column {name!r} holds {kind}, but rows are told apart by single values: name another column in "
            "--group_by, --exposures or --split_column."
        ) from None
    return value if kind.id == "blob" else f"encode({value})"
