"""Columns computed from others of the same row, by DuckDB expressions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import duckdb

from fullrank.data.files.printable import closest
from fullrank.data.schema.reading import Derived, Input, Reading
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.tables.canonical import TEXT_LIST, TEXTS, Kind, WrongTypeError, cell, identifier, literal
from fullrank.data.tables.columns import Check, TableColumn, TableColumns, as_list, check_of_list
from fullrank.data.tables.database import in_memory

_PARTS: Final = frozenset(
    {"BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA", "OPERATOR"}
    | {"TYPE"}
)
_KINDS: Final[dict[str, tuple[Kind, str]]] = {
    **{"integer": ("integer", "s"), "number": ("number", "s"), "text": ("text", "s")},
    **{"time_s": ("time", "s"), "time_ms": ("time", "ms")},
}
_ELEMENTS: Final[dict[str, Kind]] = {"integers": "integer", "numbers": "number", "texts": "text"}
_MICROSECONDS: Final = {"time_s": 1_000_000, "time_ms": 1_000}


def columns_in(expression: str, *, name: str) -> tuple[str, ...]:
    """The columns that an expression names, in order.

    Raises:
      SchemaError: If it is not an expression of one row: if it cannot be parsed, reads other tables or rows, or does
        not return the same value for the same row every time.
    """
    with in_memory() as connection:
        text = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{expression}\n)"]).fetchall()[0][0]
        found = json.loads(text)
        if found["error"]:
            problem = str(found["error_message"])
            hint = ' (a name that is also an SQL keyword is quoted: "at")' if "syntax" in problem else ""
            raise _wrong(name, expression, f"{problem}{hint}")
        (statement,) = found["statements"]
        if len(statement["node"]["select_list"]) != 1 or statement["node"]["from_table"]["type"] != "EMPTY":
            raise _wrong(name, expression, "it is more than one expression")
        nodes = list(_nodes(statement["node"]["select_list"]))
        for node in nodes:
            if node["class"] not in _PARTS:
                what = {"SUBQUERY": "reads another table", "WINDOW": "reads other rows", "STAR": "names no column"}
                raise _wrong(name, expression, f"it {what.get(node['class'], 'holds ' + node['class'].lower())}")
        for function in {node["function_name"] for node in nodes if node["class"] == "FUNCTION"}:
            _check_function(connection, function, name, expression)
    bound = {ref["column_names"][0] for node in nodes if node["class"] == "LAMBDA" for ref in _nodes([node.get("lhs")])}
    refs = [node["column_names"] for node in nodes if node["class"] == "COLUMN_REF"]
    return tuple(dict.fromkeys(ref[0] for ref in refs if ref[0] not in bound))


def derived(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    columns: Mapping[str, TableColumn],
    definitions: tuple[Derived, ...],
    *,
    missing: tuple[str, ...] = (),
    list_delimiter: str,
    optional: Collection[str] = (),
) -> tuple[str, dict[str, TableColumn], list[Check]]:
    """A table with the columns that definitions add.

    Args:
      connection: The database that holds the table.
      sql: The table, as a FROM expression.
      columns: Name -> how the query writes it.
      definitions: In order; a later one may name an earlier one.
      missing: Texts that mean "no value".
      list_delimiter: What separates the cells of a list that is written as text.
      optional: Columns that may be absent; columns computed from them are then missing if they are optional as well.

    Returns:
      The FROM expression, its columns, and the checks that make a row bad.

    Raises:
      ValueError: If a column is absent, or an expression does not fit the types of its columns.
    """
    known = dict(columns)
    checks: list[Check] = []
    for number, definition in enumerate(definitions):
        kinds = {each.name: each for each in definition.inputs}
        given: dict[str, str] = {}
        lacks = False
        for column in columns_in(definition.expression, name=definition.name):
            if column in kinds and column in columns:
                try:
                    value, check = _input(columns[column], kinds[column], missing, list_delimiter)
                except WrongTypeError as error:
                    problem = f"column {column!r} holds {columns[column].type}, {error}"
                    raise _wrong(definition.name, definition.expression, problem) from None
                checks += check
            elif column in known and column not in columns:
                value = known[column].expression
            elif column in kinds and definition.name in optional:
                value, lacks = "NULL", True
            else:
                raise _unknown(definition, column, [*columns, *known])
            given[column] = value
        if lacks:
            continue
        own = f"d{number}"
        # A macro has its own namespace, so its names cannot be mistaken for those in the query.
        macro = f"derived_{number}"
        try:
            names = ", ".join(map(identifier, given))
            connection.execute(f"CREATE OR REPLACE TEMP MACRO {macro}({names}) AS ({definition.expression}\n)")
            # In a struct, so that a row on which it fails differs from one on which it is NULL.
            computed = f"TRY({{'value': {macro}({', '.join(given.values())})}})"
            sql = f"(SELECT *, {own}.value AS {own}v FROM (SELECT *, {computed} AS {own} FROM {sql}))"
            kind = dict(zip(*_described(connection, sql), strict=True))[f"{own}v"]
        except duckdb.Error as error:
            raise _wrong(definition.name, definition.expression, str(error).splitlines()[0]) from error
        known[definition.name] = TableColumn(f"{own}v", kind)
        reason = literal(f"cannot be computed from this row by {definition.expression}")
        checks.append(Check(definition.name, f"{own} IS NULL", "NULL", reason, False))
    return sql, known, checks


def converted(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    columns: Mapping[str, TableColumn],
    schema: Schema,
    *,
    optional: Collection[str] = (),
) -> tuple[TableColumns, str]:
    """The query that turns rows of a table into columns of a schema, derived ones included, and the table for it."""
    reading = schema.reading or Reading()
    sql, known, checks = derived(
        connection,
        sql,
        columns,
        reading.columns,
        missing=reading.missing,
        list_delimiter=reading.list_delimiter,
        optional=optional,
    )
    kinds: dict[str, Kind] = {each.name: "text" if each.dtype == "bytes" else "integer" for each in schema.columns}
    for name in reading.padded:
        if name in known:
            known[name] = _without_padding(known[name], reading, element=kinds[name])
    query = TableColumns(
        known, schema, list_delimiter=reading.list_delimiter, missing=reading.missing, optional=optional
    )
    query.checks[:0] = checks
    return query, sql


def _without_padding(column: TableColumn, reading: Reading, *, element: Kind) -> TableColumn:
    """A list without its zeros."""
    x, kind = column
    if kind.id in TEXTS:
        x, _ = as_list(x, kind, reading.list_delimiter, element=element, missing=reading.missing)
        kind = TEXT_LIST
    return TableColumn(f"list_filter({x}, lambda v: v IS NULL OR CAST(v AS VARCHAR) NOT IN ('0', '0.0'))", kind)


def _described(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[Any]]:
    rows = connection.sql(f"FROM {sql}")
    return rows.columns, rows.types


def _input(column: TableColumn, given: Input, missing: tuple[str, ...], delimiter: str) -> tuple[str, list[Check]]:
    """A cell as the expression sees it, and the check that it can be read."""
    if given.kind in _ELEMENTS:
        return _list_input(column, given, missing, delimiter)
    kind, unit = _KINDS[given.kind]
    read = cell(kind, column.expression, column.type.id, missing=missing, unit=unit)
    checks = []
    if read.reason is not None:
        failed = f"{read.value} IS NULL AND NOT {read.absent}"
        checks.append(Check(given.name, failed, read.text, read.reason, column.type.id in ("varchar", "blob")))
    if given.kind in _MICROSECONDS:
        return f"make_timestamp({read.value} * {_MICROSECONDS[given.kind]})", checks
    if given.kind == "number":
        return f"CASE WHEN {read.value} IS NOT NULL THEN TRY_CAST({column.expression} AS DOUBLE) END", checks
    return read.value, checks


def _list_input(column: TableColumn, given: Input, missing: tuple[str, ...], delimiter: str) -> tuple[str, list[Check]]:
    """A list as the expression sees it, NULL for a missing cell of it, and the check that its cells can be read."""
    cells, inner = as_list(*column, delimiter, element=_ELEMENTS[given.kind], missing=missing)
    read = cell(_ELEMENTS[given.kind], "e", inner.id, missing=missing)
    element = f"CASE WHEN {read.value} IS NOT NULL THEN TRY_CAST(e AS DOUBLE) END"
    value = f"list_transform({cells}, lambda e: {element if given.kind == 'numbers' else read.value})"
    if read.reason is None:
        return value, []
    return value, [check_of_list(given.name, cells, read, value=value, quoted=inner.id in TEXTS)]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of an expression as DuckDB describes it."""
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _check_function(connection: duckdb.DuckDBPyConnection, function: str, name: str, expression: str) -> None:
    found = connection.execute(
        "SELECT function_type, stability FROM duckdb_functions() WHERE function_name = ?", [function.lower()]
    ).fetchall()
    if not found and not function.isidentifier():
        return  # an operator
    kinds = {kind for kind, _ in found}
    if "scalar" not in kinds and "macro" not in kinds:
        what = "reads other rows" if "aggregate" in kinds else "is not known"
        raise _wrong(name, expression, f"{function} {what}")
    if not any(stability in ("CONSISTENT", None) for kind, stability in found if kind in ("scalar", "macro")):
        raise _wrong(name, expression, f"{function} does not return the same value for the same row every time")


def _wrong(name: str, expression: str, problem: str) -> SchemaError:
    return SchemaError(f"Column {name!r} = {expression!r} cannot be computed: {problem.rstrip('.')}.")


def _unknown(definition: Derived, column: str, names: list[str]) -> SchemaError:
    near = closest(column, names)
    quoted = "" if near is None or near.isidentifier() else f", which is written as {identifier(near)}"
    hint = f"did you mean {near!r}{quoted}?" if near else f"there are {', '.join(names[:20])}"
    return _wrong(definition.name, definition.expression, f"there is no column {column!r}; {hint}")
