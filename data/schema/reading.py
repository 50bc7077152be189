"""How tables are read, as a schema declares it: columns computed from others of the same row, or from earlier rows."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

InputKind = Literal["integer", "number", "text", "time_s", "time_ms", "integers", "numbers", "texts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """A column of the table that an expression reads.

    Attributes:
      name: Its name in the table.
      kind: Type of its cells: `integer`, `number`, `text`, or a time, which is a timestamp in the expression; numbers
        are seconds (`time_s`) or milliseconds (`time_ms`). `integers`, `numbers` and `texts` are lists of cells.
    """

    name: str
    kind: InputKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived:
    """A column computed from others of the same row, both at conversion and for rows scored later.

    Attributes:
      name: Its name, under which a feature, label, key, segment or time may use it.
      expression: DuckDB SQL, e.g. `rating >= 4`; earlier derived columns may also be used.
      inputs: The columns of the table that it reads.
    """

    name: str
    expression: str
    inputs: tuple[Input, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Along:
    """A list along a history.

    Attributes:
      name: The column that is filled.
      of: The column whose values it takes from the earlier rows.
    """

    name: str
    of: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """Lists taken from the earlier rows of the log itself, oldest first: strictly before the row, without ties.

    Attributes:
      key: Column that identifies whose history it is, e.g. the user.
      lists: Columns of a sequence feature that are filled.
      times: Column of the sequence's times, `None` if it has none.
      where: Binary label that must be 1 for a row to enter the history; `None` for every row.
      length: Most recent rows kept.
    """

    key: str
    lists: tuple[Along, ...]
    times: str | None = None
    where: str | None = None
    length: int = 50

    def __post_init__(self) -> None:
        """Rejects an empty history."""
        if not self.lists or self.length < 1:
            raise ValueError(
                "a history has at least one list and a length of at least 1. "
                f"Received: {len(self.lists)} lists, length {self.length}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are filled."""
        return (*(each.name for each in self.lists), *(() if self.times is None else (self.times,)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past:
    """A number computed from the earlier rows of the log itself: strictly before the row, without ties.

    Attributes:
      name: Column of the feature that is filled.
      aggregate: `count` of the rows, or `sum`, `mean` or `last` of those values of `of` that are not missing. If there
        is none, `mean` and `last` are missing. On a row without a time, or without one of `by`, all are missing.
      of: Column whose values are taken; `None` for `count`.
      by: Columns whose values the earlier rows share with the row, e.g. the user; empty for all earlier rows.
      smoothing: c in the mean of a binary label, (sum + c p) / (count + c): c rows are added at the rate p of all
        earlier rows, whatever their `by`, which is itself (sum + 1) / (count + 2). 0 for none.
    """

    name: str
    aggregate: Literal["count", "sum", "mean", "last"]
    of: str | None = None
    by: tuple[str, ...] = ()
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Rejects arguments that the aggregate does not take."""
        if (self.aggregate == "count") != (self.of is None):
            raise ValueError(f"{self.aggregate} {'takes no column' if self.of else 'needs a column'}.")
        if not 0 <= self.smoothing < math.inf or (self.smoothing and self.aggregate != "mean"):
            raise ValueError(f"only a mean is smoothed, by a number of rows. Received: {self.smoothing:g}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How tables are read, wherever rows come from; see docs/tables.md.

    Attributes:
      list_delimiter: Separator of the values of a list in text.
      missing: Texts that mean a missing value in every column, in addition to the usual ones.
      padded: Columns of lists in which 0 is padding, not a value, in tables and in requests.
      columns: Columns computed from others.
      histories: Sequences taken from earlier rows.
      past: Numbers taken from earlier rows.
      newest_first: Sequences that run from the newest to the oldest in tables; they are reversed.
      sort_by_time: Sequences that are sorted by time, oldest first; behaviours without a time come first.
      only_earlier: Sequences of which only behaviours strictly before the row's own time are kept.
      gaps: Time columns of sequences that hold how long before the row's own time each behaviour was, in the schema's
        unit.
    """

    list_delimiter: str = "|"
    missing: tuple[str, ...] = ()
    padded: tuple[str, ...] = ()
    columns: tuple[Derived, ...] = ()
    histories: tuple[History, ...] = ()
    past: tuple[Past, ...] = ()
    newest_first: tuple[str, ...] = ()
    sort_by_time: tuple[str, ...] = ()
    only_earlier: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Rejects names that are given twice."""
        filled = self.filled
        twice = next((name for name in filled if filled.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is taken from earlier rows in two ways.")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or not all(names):
            raise ValueError(f"derived columns must have different names. Received: {', '.join(map(repr, names))}.")
        if not self.list_delimiter:
            raise ValueError("list_delimiter must not be empty.")

    @property
    def filled(self) -> tuple[str, ...]:
        """The columns that are taken from earlier rows, which tables need not have."""
        return (*(name for history in self.histories for name in history.names), *(past.name for past in self.past))

    @property
    def looked_up(self) -> tuple[str, ...]:
        """The columns of a row by which its earlier rows are found, in addition to the time."""
        return (*(history.key for history in self.histories), *(name for past in self.past for name in past.by))

    @property
    def remembered(self) -> tuple[str, ...]:
        """The columns that are kept of earlier rows, in addition to the time."""
        names = [name for past in self.past for name in (past.of, *past.by)]
        for history in self.histories:
            names += [history.key, history.where, *(each.of for each in history.lists)]
        return tuple(dict.fromkeys(name for name in names if name is not None))
