"""Counts, sums, means and last values of the earlier rows of the same user, ad or other key, for every staged row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.reading import Past, Reading
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.tables.columns import BAD, sql_type
from fullrank.data.tables.staged_rows import ROWS, StagedRows

_PARTS: Final = {"count": "n", "sum": "s", "mean": "ns", "last": "l"}
"""The parts of an aggregate: n, the count; s, the sum; l, the last value."""


def add_past(rows: StagedRows, *, declared: Sequence[Past] | None = None) -> None:
    """Fills every column that the schema declares as computed from earlier rows.

    Earlier rows are the good rows of any split whose time is strictly before the row's own.

    Args:
      rows: All rows.
      declared: Some of the declarations; `None` for all of them.

    Raises:
      SchemaError: If a declaration does not fit the schema.
    """
    declared = (rows.schema.reading or Reading()).past if declared is None else declared
    if not declared:
        return
    for past in declared:
        check_past(past, rows.schema)
    # Columns by which rows are grouped -> the parts that are needed: (letter, column).
    needed: dict[tuple[str, ...], dict[tuple[str, str | None], None]] = {}
    for past in declared:
        for by in dict.fromkeys((past.by, () if past.smoothing else past.by)):
            needed.setdefault(by, {}).update(dict.fromkeys((part, past.of) for part in _PARTS[past.aggregate]))
    tables = {by: f"past_by{number}" for number, by in enumerate(needed)}
    names = {
        (by, *part): f"{tables[by]}.{_own(part[0], number)}" for by in needed for number, part in enumerate(needed[by])
    }
    for by, parts in needed.items():
        _sum_up(rows, tables[by], by, list(parts))
    cells = [f"{_value(past, names, rows.schema)} AS p{number}" for number, past in enumerate(declared)]
    joins = " ".join(f"LEFT JOIN {table} ON {_same(rows, table, by)}" for by, table in tables.items())
    query = f"SELECT {', '.join(cells)} FROM {ROWS} {joins} ORDER BY {ROWS}.rowid"
    rows.put_query_beside("past", query, instead={past.name: f"p{number}" for number, past in enumerate(declared)})
    for table in tables.values():
        rows.connection.execute(f"DROP TABLE {table}")


def _sum_up(rows: StagedRows, table: str, by: tuple[str, ...], parts: list[tuple[str, str | None]]) -> None:
    """Makes a table with one row per group and time, which holds the parts over the group's earlier times."""
    keys, time = [rows.stored_as(column) for column in by], rows.stored_as(str(rows.schema.time))
    there = " AND ".join(f"{name} IS NOT NULL" for name in (*keys, time))
    at_time, before = [], []
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    window = f"({'PARTITION BY ' if keys else ''}{', '.join(keys)} ORDER BY {time} {frame})"
    for number, (part, of) in enumerate(parts):
        value, own = "*" if of is None else rows.stored_as(of), _own(part, number)
        # Compensated sums do not depend on the order in which threads add.
        at_time.append(
            {"n": f"count({value})", "s": f"fsum(CAST({value} AS DOUBLE))", "l": f"arg_max({value}, rowid)"}[part]
            + f" AS {own}"
        )
        before.append(
            {
                "n": f"CAST(coalesce(sum({own}) OVER {window}, 0) AS DOUBLE)",
                "s": f"coalesce(fsum({own}) OVER {window}, 0)",
                "l": f"last_value({own} IGNORE NULLS) OVER {window}",
            }[part]
            + f" AS {own}"
        )
    held = ", ".join((*keys, time))
    grouped = f"SELECT {', '.join((held, *at_time))} FROM {ROWS} WHERE {there} AND {BAD} IS NULL GROUP BY {held}"
    rows.connection.execute(f"CREATE TABLE {table} AS SELECT {', '.join((held, *before))} FROM ({grouped})")


def _own(part: str, number: int) -> str:
    """The name of a part, which differs from those of the schema's stored columns."""
    return f"past_{part}{number}"


def _same(rows: StagedRows, table: str, by: tuple[str, ...]) -> str:
    names = [rows.stored_as(column) for column in (*by, str(rows.schema.time))]
    return " AND ".join(f"{table}.{name} = {ROWS}.{name}" for name in names)


def _value(past: Past, names: dict[tuple[tuple[str, ...], str, str | None], str], schema: Schema) -> str:
    own = [names[past.by, part, past.of] for part in _PARTS[past.aggregate]]
    value = own[0]
    if past.aggregate == "mean":
        count, total = own
        value = f"{total} / nullif({count}, 0)"
        if past.smoothing:
            everyone = f"(({names[(), 's', past.of]} + 1) / ({names[(), 'n', past.of]} + 2))"
            value = f"({total} + {past.smoothing!r} * {everyone}) / ({count} + {past.smoothing!r})"
    return f"TRY_CAST({value} AS {sql_type(_single(schema)[past.name])})"


def check_past(past: Past, schema: Schema) -> None:
    """Rejects a declaration that does not fit the schema.

    Raises:
      SchemaError: Naming what does not fit, and what would.
    """
    problem = _problem(past, schema)
    if problem:
        raise SchemaError(f"{past.name!r} cannot be taken from earlier rows: {problem}")


def _problem(past: Past, schema: Schema) -> str:
    if schema.time is None:
        return "the order of the rows is not known. Name the time column."
    columns = _single(schema)
    read = {name: column for name, column in columns.items() if name not in schema.filled}
    ids = [name for name, column in read.items() if column.dtype != "float32"]
    for name in past.by:
        if name not in ids:
            return f"rows are grouped by {name!r}, which is not a column of single ids. {_there(name, ids)}"
    last = past.aggregate == "last"
    known = [name for name, column in read.items() if last or column.dtype == "float32"]
    if past.of is not None and past.of not in known:
        what = "single values" if last else "single numbers"
        return f"{past.aggregate} takes {past.of!r}, which is not a column of {what}. {_there(past.of, known)}"
    binary = [label.name for label in schema.labels if label.type == "binary"]
    if past.smoothing and past.of not in binary:
        return f"only the mean of a binary label is smoothed, not that of {past.of!r}. There are: {', '.join(binary)}."
    dtype = read[past.of].dtype if last and past.of is not None else "float32"
    if past.name not in columns or columns[past.name].dtype != dtype:
        return f"the schema has no column {past.name!r} of single {dtype} values."
    return ""


def _single(schema: Schema) -> dict[str, Column]:
    return {column.name: column for column in schema.columns if column.form == "one"}


def _there(name: str, known: list[str]) -> str:
    near = closest(name, known)
    return f"Did you mean {near!r}?" if near else f"There are: {', '.join(known) or 'none'}."
