"""Adds the columns of a small table, such as HashIDs or vectors of items, to the rows of a large one by a key."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.cells import WrongTypeError, integers, is_text, texts
from fullrank.data.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.lists import plain
from fullrank.data.suggest import closest

Find = Callable[[pa.Array], npt.NDArray[np.int64]]
"""Keys of the large table -> rows of the small one, -1 where it has none."""


class JoinTable:
    """A table in memory whose rows are found by a key: the right side of a left join.

    Keys are compared as whole numbers if those of the small table are integers, so that the text `7` of a CSV file
    finds 7, and otherwise as text. A key that is missing, or that the table does not have, gives missing values.

    Attributes:
      source: What the table is called in messages.
      key: Column of the large table that holds the key.
      columns: Names of the columns that are added.
      rows: Rows that were looked up so far.
      found: How many of them have a row in the table.

    Args:
      table: The small table.
      source: What it is called in messages.
      on: Its column that holds the key; each key at most once. Rows without a key are left out.
      key: The key's column in the large table; `None` if it has the same name.
      prefix: Goes before the names of the added columns.

    Raises:
      ValueError: If the key's column is not there, is of another type, or holds a key twice, or nothing else is there.
    """

    def __init__(self, table: pa.Table, *, source: str, on: str, key: str | None = None, prefix: str = "") -> None:
        if table.column_names.count(on) != 1:
            raise ValueError(f"{source} {_no_column(on, table.column_names)}")
        self.source = source
        self.key = on if key is None else key
        self.rows = self.found = 0
        self._find = _finder(_array(table[on]), where=f"{source}, column {on!r}")
        self._values = {prefix + name: _array(table[name]) for name in table.column_names if name != on}
        if not self._values:
            raise ValueError(f"{source} holds only {on!r}, so there is nothing to join.")
        self.columns = tuple(self._values)

    def check(self, names: Collection[str], *, source: str) -> None:
        """Refuses a large table with these columns if it lacks the key or has one of the added columns already.

        Raises:
          ValueError: Naming the column.
        """
        if self.key not in names:
            raise ValueError(f"{source} {_no_column(self.key, names)} It is to be joined with {self.source}.")
        twice = [name for name in self.columns if name in names]
        if twice:
            raise ValueError(
                f"{source} has column {twice[0]!r}, which {self.source} would add: name its columns otherwise by "
                "--join_prefix."
            )

    def add(self, batch: pa.RecordBatch, columns: Collection[str] | None = None) -> pa.RecordBatch:
        """Rows of the large table with those of `columns` that this table has; `None` for all of them.

        Raises:
          ValueError: If the key's column holds something that is no key.
        """
        try:
            found = self._find(plain(batch.column(self.key)))
        except WrongTypeError as error:
            raise ValueError(f"Column {self.key!r} {error}; it cannot be joined with {self.source}.") from None
        self.rows += len(found)
        self.found += int((found >= 0).sum())
        places = pa.array(found, mask=found < 0)
        for name, values in self._values.items():
            if columns is None or name in columns:
                batch = batch.append_column(name, values.take(places))
        return batch

    def report(self) -> str:
        """One line on how many rows were found; empty if none was looked up."""
        if not self.rows:
            return ""
        share = f"{self.found / self.rows:.2%} of the rows have their {self.key!r} in {self.source}."
        return share if self.found else f"{share} Is --on right?"


def _array(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return plain(pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined)


def _no_column(name: str, names: Collection[str]) -> str:
    near = closest(name, names)
    return f"has no column {name!r}." + (f" Did you mean {near!r}?" if near else f" It has: {', '.join(names)}.")


def _finder(keys: pa.Array, *, where: str) -> Find:
    if pa.types.is_integer(keys.type):
        return _by_number(keys, where=where)
    if is_text(keys.type):
        return _by_text(keys, where=where)
    raise ValueError(f"{where} holds {keys.type}, but a key is an integer or text.")


def _by_number(keys: pa.Array, *, where: str) -> Find:
    numbers, bad, reason = integers(keys)
    if bad.size:
        raise ValueError(f"{where}: key {keys[bad[0]].as_py()!r} {reason}.")
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    order, ordered = order[ordered != MISSING_INT], ordered[ordered != MISSING_INT]
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    _check_once(twice.tolist(), where=where)

    def find(cells: pa.Array) -> npt.NDArray[np.int64]:
        parsed = integers(cells)
        if not len(ordered):
            return np.full(len(cells), -1)
        places = np.minimum(np.searchsorted(ordered, parsed.values), len(ordered) - 1)
        rows = np.where(ordered[places] == parsed.values, order[places], -1)
        rows[parsed.bad] = -1  # what is not a whole number has no row in this table
        return rows

    return find


def _by_text(keys: pa.Array, *, where: str) -> Find:
    values = texts(keys).values.tolist()
    rows: dict[bytes, int] = {}
    twice = []
    for row, value in enumerate(values):
        if rows.setdefault(value, row) != row and value != MISSING_BYTES:
            twice.append(value.decode("utf-8", errors="replace"))
    _check_once(twice, where=where)
    rows.pop(MISSING_BYTES, None)

    def find(cells: pa.Array) -> npt.NDArray[np.int64]:
        given = texts(cells).values
        return np.fromiter((rows.get(value, -1) for value in given), np.int64, len(given))

    return find


def _check_once(twice: list[Any], *, where: str) -> None:
    if twice:
        raise ValueError(
            f"{where}: key {twice[0]!r} is there more than once (as are {len(set(twice)):,} keys in all), so it does "
            "not say which row to join."
        )
