"""Rows in memory as columns of a schema, read exactly as `fullrank.data.convert` reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.arrow_columns import column_batch
from fullrank.data.canonical import identifier
from fullrank.data.encode_examples import encode_examples
from fullrank.data.ragged import Ragged
from fullrank.data.schema import Schema
from fullrank.data.table_columns import BAD, LIST_DELIMITER, TableColumn, TableColumns, check_names
from fullrank.data.table_database import in_memory


class BadRow(NamedTuple):
    """A row that cannot be converted: its number in the batch, from 0, and one line about it."""

    row: int
    message: str


class Converted(NamedTuple):
    """A column batch, and the rows in it that hold nothing meaningful because they could not be converted."""

    columns: dict[str, npt.NDArray[Any] | Ragged]
    bad: list[BadRow]


def to_columns(
    batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str = LIST_DELIMITER, missing: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Converts rows of a table to a column batch, by the rules in `docs/tables.md`.

    Args:
      batch: Rows with at least the columns of the schema; others are ignored.
      schema: What to convert to.
      list_delimiter: What separates the values of a list in text.
      missing: Texts that stand for "no value" beside the usual ones.

    Returns:
      Column name -> `[n]`, `[n, length]` or `Ragged`, for every column of the schema.

    Raises:
      ValueError: If a column is not there, or a row cannot be converted; the message names row and column.
    """
    columns, bad = convert_rows(batch, schema, list_delimiter=list_delimiter, missing=missing)
    if bad:
        raise ValueError(f"row {bad[0].row} of the batch, counted from 0, {bad[0].message}")
    return columns


def row_to_record(row: Mapping[str, Any], schema: Schema, *, list_delimiter: str = LIST_DELIMITER) -> bytes:
    """Converts one row to a serialized `tf.train.Example`, as `to_columns` would; usable as it is in a Beam `DoFn`.

    A query is planned at each call, which takes milliseconds: give many rows to `to_columns` and `encode_examples`.

    Args:
      row: Column name -> value or list of values; a missing one is `None`, and may not be left out.
      schema: What to convert to.
      list_delimiter: What separates the values of a list in text.

    Raises:
      ValueError: If a column is not there or its value cannot be converted.
    """
    wanted = {column.name for column in schema.columns}
    batch = pa.RecordBatch.from_pydict({name: [value] for name, value in row.items() if name in wanted})
    columns = to_columns(batch, schema, list_delimiter=list_delimiter)
    return encode_examples(columns, schema_columns=schema.columns)[0]


def convert_rows(
    batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str = LIST_DELIMITER, missing: Sequence[str] = ()
) -> Converted:
    """Like `to_columns`, but returns the bad rows, in order, where that raises."""
    names = batch.schema.names
    check_names(names, schema)
    wanted = [column.name for column in schema.columns]
    with in_memory() as connection:
        connection.register("given", without_halves(pa.Table.from_batches([batch.select(wanted)])))
        given = connection.sql("FROM given")
        table = {
            name: TableColumn(identifier(name), kind) for name, kind in zip(given.columns, given.types, strict=True)
        }
        query = TableColumns(table, schema, list_delimiter=list_delimiter, missing=missing)
        # Planned once this way; a relation is planned once more for each thing that it is asked.
        connection.execute(f"CREATE TEMP TABLE converted AS {query.query('given')}")
        found = connection.sql("FROM converted").to_arrow_table().combine_chunks()
    converted = found.to_batches()[0] if found.num_rows else pa.RecordBatch.from_pylist([], schema=found.schema)
    bad = [
        BadRow(row, query.describe(value))
        for row, value in enumerate(converted.column(BAD).to_pylist())
        if value is not None
    ]
    return Converted(column_batch(converted, schema), bad)


def without_halves(table: pa.Table) -> pa.Table:
    """The table with float32 in place of float16, which DuckDB does not take from Arrow."""
    for number, field in enumerate(table.schema):
        inner = getattr(field.type, "value_type", field.type)
        if pa.types.is_float16(inner):
            kind = pa.float32() if inner is field.type else pa.list_(pa.float32())
            table = table.set_column(number, field.name, pc.cast(table[field.name], kind))
    return table
