"""Converts a table's columns to the columns of a schema in one DuckDB query: types, missing values, lists, checks.

`docs/tables.md` states the rules; `fullrank.data.tables.canonical` defines how one cell is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from collections.abc import Sequence as Several
from typing import Any, Final, NamedTuple

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Bits, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.canonical import (
    LISTS,
    TEXTS,
    VARCHAR,
    Cell,
    Kind,
    WrongTypeError,
    absent_text,
    cell,
    id_of_number,
    literal,
)
from fullrank.data.tables.given_sequences import check_mending, mended
from fullrank.data.tables.list_cells import bits_of_text, list_of_text

BAD: Final = "bad"
"""Column of the query that says what is wrong with a row: `{check, received, reason}`, NULL for a good row."""
LIST_DELIMITER: Final = "|"

_SHOWN: Final = 40


class TableColumn(NamedTuple):
    """A column of a table as a DuckDB expression, and its type, a `DuckDBPyType`."""

    expression: str
    type: Any


@dataclasses.dataclass(frozen=True)
class Check:
    """A condition that makes a row bad.

    Attributes:
      column: The column to blame.
      failed: DuckDB expression, whether a row is bad.
      received: DuckDB expression, the cell as text.
      reason: DuckDB expression, what is wrong with it; printed after the cell, or alone if `received` is NULL.
      quoted: Whether the cell is text, which is shown in quotes.
    """

    column: str
    failed: str
    received: str
    reason: str
    quoted: bool


class TableColumns:
    """The query that turns rows of a table into columns of a schema.

    Args:
      table: Column of the table -> how it is written in a query, and its type.
      schema: The schema to convert to.
      list_delimiter: Separator of the values of a list in text.
      missing: Texts that mean "no value", in addition to the usual ones.
      optional: Columns that may be absent from the table; their values are then missing.

    Raises:
      ValueError: If a column is absent, or its type cannot hold what the schema declares.
    """

    def __init__(
        self,
        table: Mapping[str, TableColumn],
        schema: Schema,
        *,
        list_delimiter: str = LIST_DELIMITER,
        missing: Several[str] = (),
        optional: Collection[str] = (),
    ) -> None:
        check_mending(schema)
        self._schema = schema
        self._numbers = {column.name: number for number, column in enumerate(schema.columns)}
        self._delimiter = list_delimiter
        self._missing = tuple(missing)
        self._labels = {label.name: label for label in schema.labels}
        self._times = {schema.time, *(f.times for f in schema.features if isinstance(f, Sequence))}
        self._bits = {f.name for f in schema.features if isinstance(f, Bits)}
        histories = schema.reading.histories if schema.reading is not None else ()
        self._listed = {each.of: each.name for history in histories for each in history.lists}
        self._lists: list[str] = []
        self._values: list[str] = []
        self._results: list[str] = []
        self.checks: list[Check] = []
        later: list[Check] = []
        for number, column in enumerate(schema.columns):
            if column.name not in table and column.name in optional:
                self._values.append(f"CAST(NULL AS {sql_type(column)}) AS v{number}")
                self._results.append(f"v{number} AS {stored(number)}")
            else:
                later += self._add(number, column, table[column.name])
        self.checks += later
        self._check_alignment()

    def query(self, source: str, *, keep: Several[str] = ()) -> str:
        """A query for every column of the schema, the k-th under the name `stored(k)`, and `BAD`.

        Values that are missing are NULL, also within lists. Lists are cut to their last `length` values.

        Args:
          source: The table, as a FROM expression.
          keep: Further expressions on it that the query returns as well.
        """
        branches = [
            f"WHEN {check.failed} THEN {{'check': {number}, 'received': {check.received}, 'reason': {check.reason}}}"
            for number, check in enumerate(self.checks)
        ]
        bad = f"CASE {' '.join(branches)} END" if branches else "NULL"
        lists = "".join(f", {each}" for each in self._lists)
        values = "".join(f", {each}" for each in self._values)
        results = ", ".join([*keep, *self._results, f"{bad} AS {BAD}"])
        return f"SELECT {results} FROM (SELECT *{values} FROM (SELECT *{lists} FROM {source}))"

    def add_check(self, failed: str, *, received: str, reason: str) -> None:
        """Adds a condition on the table that is checked before all others and makes a row bad."""
        self.checks.insert(0, Check("", failed, received, literal(reason), True))

    def describe(self, bad: Mapping[str, Any]) -> str:
        """One line about a bad row, from the value of `BAD`."""
        check = self.checks[bad["check"]]
        received = bad["received"]
        if not check.column:
            return f"{shown(received)} {bad['reason']}."
        if check.received == "NULL":
            return f"column {check.column!r}: {bad['reason']}."
        return f"column {check.column!r}: {shown(received, quoted=check.quoted)} {bad['reason']}."

    def _add(self, number: int, column: Column, given: TableColumn) -> list[Check]:
        """Adds one column, and returns the checks of its values that apply once every cell is known to be legible."""
        try:
            if column.form == "one":
                return self._one(number, column, *given)
            return self._many(number, column, *given)
        except WrongTypeError as error:
            raise WrongTypeError(
                f"column {column.name!r} {error}, but the schema declares {_described(column)}. Change its feature in "
                "the schema, or the column."
            ) from None

    def _one(self, number: int, column: Column, name: str, kind: Any) -> list[Check]:
        if kind.id in LISTS:
            raise WrongTypeError(f"holds lists ({kind})")
        value, quoted = f"v{number}", kind.id in TEXTS
        read = self._cell(column, name, kind)
        self._values.append(f"{read.value} AS {value}")
        self._results.append(f"{value} AS {stored(number)}")
        if read.reason is not None:
            # Whether text means a missing value is checked only for cells with text; most missing ones are NULL.
            failed = f"{value} IS NULL AND {name} IS NOT NULL AND NOT {read.absent}"
            self.checks.append(Check(column.name, failed, read.text, read.reason, quoted))
        if column.name in self._labels and self._labels[column.name].type == "binary":
            reason = "is not a label: use 0 or 1, or leave it empty if unobserved"
            return [Check(column.name, f"{value} NOT IN (0, 1)", read.text, literal(reason), quoted)]
        if column.name == self._schema.weight:
            reason = "is not a sample weight: use a number of at least 0"
            return [Check(column.name, f"coalesce({value}, -1) < 0", read.text, literal(reason), quoted)]
        if column.dtype == "float32" and column.name in self._listed:
            failed = f"{value} IS NOT NULL AND ({id_of_number(value)}) IS NULL"
            reason = f"is not a whole number up to 2^24, as the ids of {self._listed[column.name]!r} have to be"
            return [Check(column.name, failed, read.text, literal(reason), quoted)]
        return []

    def _many(self, number: int, column: Column, name: str, kind: Any) -> list[Check]:
        value, cells = f"v{number}", f"l{number}"
        if column.name in self._bits and kind.id in TEXTS:
            return self._bit_text(number, column, name, kind)
        if kind.id == "blob":
            failed = f"{name} IS NOT NULL AND TRY(decode({name})) IS NULL"
            self.checks.append(Check(column.name, failed, f"CAST({name} AS VARCHAR)", "'is not UTF-8'", True))
        cut, inner = as_list(name, kind, self._delimiter, element=self._kind(column), missing=self._missing)
        self._lists.append(f"{cut} AS {cells}")
        element = self._cell(column, "e", inner)
        self._values.append(f"list_transform({cells}, lambda e: {element.value}) AS {value}")
        quoted = inner.id in TEXTS
        if element.reason is not None:
            self.checks.append(check_of_list(column.name, cells, element, value=value, quoted=quoted))
        if column.form == "many":
            whole = mended(column, self._schema, self._value_of)
            self._results.append(f"({whole})[-{column.length}:] AS {stored(number)}")
            return []
        length = column.length
        self._results.append(f"CASE WHEN len({value}) = {length} THEN {value} END AS {stored(number)}")
        wrong_length = f"'has ' || len({value}) || ' values where the schema says {length}'"
        gap = f"'has no value at position ' || (list_position({value}, NULL) - 1) || '; give all {length} or none'"
        self.checks.append(Check(column.name, f"len({value}) NOT IN (0, {length})", "NULL", wrong_length, False))
        self.checks.append(Check(column.name, f"list_count({value}) NOT IN (0, len({value}))", "NULL", gap, False))
        if column.name in self._bits:
            reason = literal("holds a bit that is neither 0 nor 1")
            shown = f"CAST({name} AS VARCHAR)"
            wrong_bit = f"list_min({value}) < 0 OR list_max({value}) > 1"
            return [Check(column.name, wrong_bit, shown, reason, False)]
        return []

    def _value_of(self, name: str) -> str:
        return f"v{self._numbers[name]}"

    def _bit_text(self, number: int, column: Column, name: str, kind: Any) -> list[Check]:
        value = f"v{number}"
        text = f"TRY(decode({name}))" if kind.id == "blob" else name
        found = bits_of_text(text, length=column.length, delimiter=self._delimiter)
        absent = absent_text("integer", text, missing=self._missing)
        self._values.append(f"CASE WHEN NOT {absent} THEN {found} END AS {value}")
        self._results.append(f"{value} AS {stored(number)}")
        reason = literal(f"is not {column.length} bits, as 0 and 1 or hexadecimal")
        shown = f"CAST({name} AS VARCHAR)"
        self.checks.append(Check(column.name, f"{value} IS NULL AND NOT {absent}", shown, reason, True))
        return []

    def _cell(self, column: Column, x: str, kind: Any) -> Cell:
        if kind.id in LISTS:
            raise WrongTypeError("holds lists of lists")
        try:
            read = cell(self._kind(column), x, kind.id, missing=self._missing, unit=self._schema.time_unit)
            # Ids of all tables are of one type, whatever the type in the file.
            return read._replace(value=f"encode({read.value})") if self._encoded(column, kind) else read
        except WrongTypeError as error:
            raise WrongTypeError(f"holds {kind}, {error}") from None

    @staticmethod
    def _encoded(column: Column, kind: Any) -> bool:
        return column.dtype == "bytes" and kind.id != "blob"

    def _kind(self, column: Column) -> Kind:
        if column.name in self._times:
            return "time"
        if column.name in self._labels:
            return "label"
        kinds: dict[str, Kind] = {"int64": "integer", "bytes": "text", "float32": "number"}
        return kinds[column.dtype]

    def _check_alignment(self) -> None:
        """Columns that describe the same list have the same number of values on every row."""
        for feature in self._schema.features:
            if isinstance(feature, Sequence) or (isinstance(feature, Sparse) and feature.weights is not None):
                first, *others = self._schema.feature_columns(feature)
                expected = f"len({self._value_of(first.name)})"
                for other in others if first.form == "many" else ():
                    found = f"len({self._value_of(other.name)})"
                    where = literal(f" values where column {first.name!r} has ")
                    reason = f"'has ' || {found} || {where} || {expected}"
                    self.checks.append(Check(other.name, f"{found} <> {expected}", "NULL", reason, False))


def check_names(
    names: Several[str], schema: Schema, *, source: str = "The input", optional: Collection[str] = ()
) -> None:
    """Rejects a table that lacks columns of the schema, or contains one of them twice.

    Raises:
      ValueError: Naming the columns, and those in the table that have similar names.
    """
    absent = [column.name for column in schema.columns if column.name not in names and column.name not in optional]
    if absent:
        hints = "; ".join(
            f"{name!r}" + (f", did you mean {near!r}?" if (near := closest(name, names)) else "") for name in absent
        )
        known = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
        labels = {label.name for label in schema.labels}.intersection(absent)
        score = " Score rows without labels with fullrank predict --input." if labels else ""
        raise ValueError(
            f"{source} has no column {hints}{'' if hints.endswith('?') else '.'} It has: {known or 'none'}.{score}"
        )
    twice = [column.name for column in schema.columns if list(names).count(column.name) > 1]
    if twice:
        raise ValueError(f"{source} has column {twice[0]!r} more than once.")


def as_list(name: str, kind: Any, delimiter: str, *, element: Kind, missing: Several[str] = ()) -> tuple[str, Any]:
    """A column as a list, empty for a cell that means "no value" as a whole, and the type of its elements.

    Args:
      name: The column, a DuckDB expression.
      kind: Its DuckDB type.
      delimiter: What separates the items of a list in text.
      element: What its items are read as.
      missing: Texts that mean "no value", in addition to the usual ones of `element`.
    """
    if kind.id in LISTS:
        inner = dict(kind.children)["child"]
        cast = f"CAST({name} AS {inner}[])" if kind.id == "array" else name
        return f"coalesce({cast}, [])", inner
    if kind.id in TEXTS:
        text = f"CAST({name} AS VARCHAR)" if kind.id == "varchar" else f"TRY(decode({name}))"
        absent = absent_text(element, text, missing=missing)
        return list_of_text(text, delimiter=delimiter, absent=absent), VARCHAR
    return f"CASE WHEN {name} IS NULL THEN [] ELSE [{name}] END", kind


def check_of_list(name: str, cells: str, element: Cell, *, value: str, quoted: bool) -> Check:
    """The check that every cell of a list can be read.

    Args:
      name: The column.
      cells: The list, a DuckDB expression.
      element: How its cell `e` is read.
      value: The list as it is read.
      quoted: Whether its cells are text.
    """
    wrong = f"list_filter({cells}, lambda e: ({element.value}) IS NULL AND NOT coalesce({element.absent}, TRUE))"
    first = f"list_transform({wrong}[1:1], lambda e: {{'t': {element.text}, 'r': {element.reason}}})[1]"
    failed = f"list_count({value}) < len({value}) AND len({wrong}) > 0"
    return Check(name, failed, f"({first}).t", f"({first}).r", quoted)


def _described(column: Column) -> str:
    if column.form == "one":
        return f"one {column.dtype} value"
    return f"a list of {column.dtype}" + (f" of length {column.length}" if column.form == "fixed" else "")


def shown(cell: str | None, *, quoted: bool = True) -> str:
    """A cell as a message shows it: on one line, not too long."""
    if cell is None:
        return "an empty cell"
    text = cell if not quoted else f"'{cell}'" if cell.isprintable() else repr(cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def stored(number: int) -> str:
    """The name of the `number`-th column of a schema in a query; users' own names may differ only in case."""
    return f"s{number}"


def sql_type(column: Column) -> str:
    """The DuckDB type of a column of a schema."""
    single = {"int64": "BIGINT", "float32": "FLOAT", "bytes": "BLOB"}[column.dtype]
    return single if column.form == "one" else f"{single}[]"
