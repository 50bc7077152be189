"""Cuts a stream of Arrow batches into pieces of given lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from fullrank.data.schema import Schema
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN, check_names


def cut(batches: Iterable[pa.RecordBatch], lengths: Iterator[int], *, schema: Schema) -> Iterator[pa.RecordBatch]:
    """Joins and cuts batches so that piece after piece has the next of `lengths` as its number of rows.

    The last piece has what is left. Columns that `schema` does not name are dropped.

    Args:
      batches: Rows in order.
      lengths: Positive; may never end. Rows beyond its end come in one piece more.
      schema: Whose columns to keep.

    Raises:
      ValueError: If a batch lacks a column.
    """
    wanted = [column.name for column in schema.columns]
    held: list[pa.RecordBatch] = []
    rows = 0
    length = next(lengths, None)
    for whole in batches:
        check_names(whole.schema.names, schema, source=_source(whole))
        origin = [name for name in (FILE_COLUMN, ROW_COLUMN) if name in whole.schema.names]
        batch = whole.select([*wanted, *origin])
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


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """A batch as bytes for another process: only its own rows, even if it is a slice of a larger one."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> pa.RecordBatch:
    """The batch that `to_bytes` wrote."""
    with pa.ipc.open_stream(content) as stream:
        return stream.read_next_batch()


def _source(batch: pa.RecordBatch) -> str:
    if FILE_COLUMN in batch.schema.names and batch.num_rows:
        return str(batch.column(FILE_COLUMN)[0].as_py())
    return "The input"


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    # Files of one data set may differ in the width of their integers, or have a column that is empty in one of them.
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    joined = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().combine_chunks()
    return joined.to_batches()[0]
