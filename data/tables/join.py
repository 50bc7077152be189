"""Adds the columns of a small table, such as HashIDs or vectors of items, to the rows of a large one by a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb

from fullrank.data.files.printable import closest
from fullrank.data.tables.canonical import WrongTypeError, cell
from fullrank.data.tables.columns import TableColumn, shown
from fullrank.data.tables.files import Part, TableFiles

_KEY: Final = "key"


class JoinTable:
    """The right side of a left join.

    Keys are compared in their canonical form as text, so the `7` of a CSV file, a 7 and a 7.0 are one key. A key
    that is missing, or that the table does not have, results in missing values.

    Attributes:
      source: Name of the table in messages.
      key: Column of the large table that holds the key.
      columns: Names of the columns that are added.

    Args:
      connection: The database that holds the table.
      files: The small table.
      name: Name of the table in the database.
      source: Name of the table in messages.
      on: Its column that holds the key; each key at most once. Rows without a key are left out.
      key: The key's column in the large table; `None` if it has the same name.
      prefix: Prefix of the names of the added columns.
      missing: Texts that mean a missing key, in addition to the usual ones.

    Raises:
      ValueError: If the key's column is absent, has another type, holds a key twice, or is the only column.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: TableFiles,
        *,
        name: str,
        source: str,
        on: str,
        key: str | None = None,
        prefix: str = "",
        missing: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.key = on if key is None else key
        self._connection = connection
        self._name = name
        self._missing = tuple(missing)
        parts = list(files.parts())
        names = list(files.names)
        if on not in names:
            raise ValueError(f"{source} {_no_column(on, names)}")
        own = [column for column in names if column != on]
        if not own:
            raise ValueError(f"{source} holds only {on!r}, so there is nothing to join.")
        queries = []
        for part in parts:
            cells = [f"{self._key_of(part.columns[on], on, source)} AS {_KEY}"]
            cells += [f"{_cell(part.columns, column)} AS c{number}" for number, column in enumerate(own)]
            queries.append(f"SELECT {', '.join(cells)} FROM {part.sql}")
        connection.execute(
            f"CREATE TABLE {name} AS SELECT * FROM ({' UNION ALL BY NAME '.join(queries)}) WHERE {_KEY} IS NOT NULL"
        )
        if not connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall() and not _rows(connection, parts):
            raise ValueError(f"--join={source} has no rows.")
        self._check_once(f"{source}, column {on!r}")
        kinds = connection.sql(f"FROM {name}").types[1:]
        self._columns = {
            prefix + column: (f"c{number}", kind) for number, (column, kind) in enumerate(zip(own, kinds, strict=True))
        }
        self.columns = tuple(self._columns)

    def check(self, names: Sequence[str], *, source: str) -> None:
        """Rejects a large table with these columns if it lacks the key or has one of the added columns already.

        Raises:
          ValueError: If it does; the message names the column.
        """
        if self.key not in names:
            raise ValueError(f"{source} {_no_column(self.key, names)} It is to be joined with {self.source}.")
        twice = [name for name in self.columns if name in names]
        if twice:
            raise ValueError(
                f"{source} has column {twice[0]!r}, which {self.source} would add: rename the added columns by "
                "--join_prefix."
            )

    def joined(
        self, sql: str, columns: Mapping[str, TableColumn], *, alias: str, source: str
    ) -> tuple[str, dict[str, TableColumn]]:
        """The large table `sql` with the columns of this one; the order of its rows may change.

        Raises:
          ValueError: If it has no such key, or one of the columns already.
        """
        self.check(list(columns), source=source)
        key = self._key_of(columns[self.key], self.key, source)
        added = ", ".join(f"{self._name}.{own} AS {alias}_{own}" for own, _ in self._columns.values())
        given = f"(SELECT *, {key} AS {alias}_own FROM {sql}) AS given"
        query = (
            f"(SELECT given.*, {added}, {self._name}.{_KEY} AS {alias}_{_KEY} FROM {given} "
            f"LEFT JOIN {self._name} ON given.{alias}_own = {self._name}.{_KEY})"
        )
        own = {name: TableColumn(f"{alias}_{written}", kind) for name, (written, kind) in self._columns.items()}
        return query, {**columns, **own}

    def report(self, found: int, rows: int) -> str:
        """One line about how many rows found a match; empty if there were no rows."""
        if not rows:
            return ""
        share = f"{found / rows:.2%} of the rows have their {self.key!r} in {self.source}."
        return share if found else f"{share} Is --on right?"

    def _key_of(self, column: TableColumn, name: str, source: str) -> str:
        try:
            value = cell("text", column.expression, column.type.id, missing=self._missing).value
        except WrongTypeError:
            raise ValueError(
                f"{source}, column {name!r} holds {column.type}, but a key is an integer or text."
            ) from None
        return value if column.type.id == "blob" else f"encode({value})"

    def _check_once(self, where: str) -> None:
        twice = self._connection.execute(
            f"SELECT decode({_KEY}), count(*) OVER () FROM {self._name} GROUP BY {_KEY} HAVING count(*) > 1 "
            "ORDER BY 1 LIMIT 1"
        ).fetchall()
        for key, keys in twice:
            raise ValueError(
                f"{where}: key {shown(key)} occurs more than once (as do {keys:,} keys in all), so it does "
                "not say which row to join."
            )


def names_with_joins(names: list[str], joins: Sequence[JoinTable], *, source: str) -> list[str]:
    """The columns of a table and of all tables that are joined to it, in order.

    Raises:
      ValueError: If a key is absent, or two tables have a column of the same name.
    """
    for join in joins:
        join.check(names, source=source)
        names = [*names, *join.columns]
    return names


def _rows(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> bool:
    return any(connection.execute(f"SELECT 1 FROM {part.sql} LIMIT 1").fetchall() for part in parts)


def _cell(columns: Mapping[str, TableColumn], name: str) -> str:
    return columns[name].expression if name in columns else "NULL"


def _no_column(name: str, names: Sequence[str]) -> str:
    near = closest(name, names)
    return f"has no column {name!r}." + (f" Did you mean {near!r}?" if near else f" It has: {', '.join(names)}.")
