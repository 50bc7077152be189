"""Rows in memory as columns of a schema, read exactly as `fullrank convert` reads files."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.tables.canonical import identifier
from fullrank.data.tables.columns import BAD, TableColumn, check_names
from fullrank.data.tables.database import in_memory
from fullrank.data.tables.derived_columns import converted


class BadRow(NamedTuple):
    """A row that cannot be converted: its number in the batch, from 0, and one line about it."""

    row: int
    message: str


class Converted(NamedTuple):
    """A column batch, and the rows in it whose values are meaningless because they could not be converted."""

    columns: dict[str, npt.NDArray[Any] | Ragged]
    bad: list[BadRow]


def to_columns(
    batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str | None = None, optional: Collection[str] = ()
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Converts rows of a table to a column batch, by the rules in `docs/tables.md`.

    Args:
      batch: Rows with at least the columns of the schema; others are ignored.
      schema: The schema to convert to.
      list_delimiter: Separator of the values of a list in text; `None` for that of the schema.
      optional: Columns that may be absent; their values are then missing.

    Returns:
      Column name -> `[n]`, `[n, length]` or `Ragged`, for every column of the schema.

    Raises:
      ValueError: If a column is absent, or a row cannot be converted; the message names row and column.
    """
    columns, bad = convert_rows(batch, schema, list_delimiter=list_delimiter, optional=optional)
    if bad:
        raise ValueError(f"row {bad[0].row} of the batch, counted from 0, {bad[0].message}")
    return columns


def row_to_record(row: Mapping[str, Any], schema: Schema, *, list_delimiter: str | None = None) -> bytes:
    """Converts one row to a serialized `tf.train.Example`, as `to_columns` would; usable as it is in a Beam `DoFn`.

    A query is planned at each call, which takes milliseconds: give many rows to `to_columns` and `encode_examples`.

    Args:
      row: Column name -> value or list of values; a missing one is `None`, and must not be left out.
      schema: The schema to convert to.
      list_delimiter: Separator of the values of a list in text; `None` for that of the schema.

    Raises:
      ValueError: If a column is absent or its value cannot be converted.
    """
    wanted = {column.name for column in schema.columns}
    wanted |= {given.name for column in (schema.reading or Reading()).columns for given in column.inputs}
    batch = pa.RecordBatch.from_pydict({name: [value] for name, value in row.items() if name in wanted})
    columns = to_columns(batch, schema, list_delimiter=list_delimiter)
    return encode_examples(columns, schema_columns=schema.columns)[0]


def convert_rows(
    batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str | None = None, optional: Collection[str] = ()
) -> Converted:
    """Like `to_columns`, but returns the bad rows, in order, instead of raising an error."""
    reading = schema.reading or Reading()
    if list_delimiter is not None:
        schema = dataclasses.replace(schema, reading=dataclasses.replace(reading, list_delimiter=list_delimiter))
    derived = [column.name for column in reading.columns if column.name not in batch.schema.names]
    check_names([*batch.schema.names, *derived], schema, optional=optional)
    wanted = {column.name for column in schema.columns}
    wanted |= {given.name for column in reading.columns for given in column.inputs}
    chosen = [name for name in batch.schema.names if name in wanted]
    with in_memory() as connection:
        connection.register("given", without_halves(pa.Table.from_batches([batch.select(chosen)])))
        given = connection.sql("FROM given")
        kinds = zip(chosen, given.columns, given.types, strict=True)
        table = {name: TableColumn(identifier(written), kind) for name, written, kind in kinds}
        query, sql = converted(connection, "given", table, schema, optional=optional)
        # Planned once this way; a relation is planned again for every request.
        connection.execute(f"CREATE TEMP TABLE converted AS {query.query(sql)}")
        found = connection.sql("FROM converted").to_arrow_table().combine_chunks()
    rows = found.to_batches()[0] if found.num_rows else pa.RecordBatch.from_pylist([], schema=found.schema)
    bad = [
        BadRow(row, query.describe(value))
        for row, value in enumerate(rows.column(BAD).to_pylist())
        if value is not None
    ]
    return Converted(column_batch(rows, schema), bad)


def without_halves(table: pa.Table) -> pa.Table:
    """The table with float32 instead of float16, which DuckDB does not read from Arrow."""
    for number, field in enumerate(table.schema):
        inner = getattr(field.type, "value_type", field.type)
        if pa.types.is_float16(inner):
            kind = pa.float32() if inner is field.type else pa.list_(pa.float32())
            table = table.set_column(number, field.name, pc.cast(table[field.name], kind))
    return table
