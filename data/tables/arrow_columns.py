"""Converts the Arrow columns that the query of `TableColumns` returns to a column batch, and tests types of Arrow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.columns import stored


def column_batch(
    batch: pa.RecordBatch, schema: Schema, *, columns: Collection[Column] | None = None, arrow_bytes: bool = False
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Column name -> `[n]`, `[n, length]` or `Ragged`; NULL becomes the missing value.

    Args:
      batch: The result of `TableColumns.query`.
      schema: The schema whose columns it holds.
      columns: The columns to convert; `None` for all.
      arrow_bytes: Whether bytes stay large binary Arrow arrays, which encoders also accept, instead of objects.
    """
    return {
        column.name: _column(batch.column(stored(number)), column, arrow_bytes)
        for number, column in enumerate(schema.columns)
        if columns is None or column in columns
    }


def _column(cells: pa.Array, column: Column, arrow_bytes: bool) -> npt.NDArray[Any] | Ragged:
    arrow_bytes = arrow_bytes and column.dtype == "bytes" and column.form != "fixed"
    if column.form == "one":
        return _values(cells, column, arrow_bytes)
    lengths = pc.fill_null(pc.list_value_length(cells), 0).to_numpy(zero_copy_only=False).astype(np.int32)
    values = _values(cells.flatten(), column, arrow_bytes)
    if column.form == "many":
        return Ragged(values, lengths)
    fixed = np.full((len(cells), column.length), column.missing, column.numpy_dtype)
    fixed[lengths > 0] = values.reshape(-1, column.length)
    return fixed


def _values(cells: pa.Array, column: Column, arrow_bytes: bool) -> npt.NDArray[Any]:
    kinds = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.large_binary()}
    cells = pc.cast(cells, kinds[column.dtype])
    if cells.null_count:
        cells = pc.fill_null(cells, pa.scalar(column.missing, cells.type))
    values: npt.NDArray[Any] = cells if arrow_bytes else cells.to_numpy(zero_copy_only=False)
    return values


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string or binary of any width."""
    widths = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    return kind in widths or bool(pa.types.is_fixed_size_binary(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of any layout."""
    return bool(pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind)) and hasattr(kind, "value_type")


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same values as one array without dictionary encoding, extension type or view layout."""
    cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks)
    if isinstance(cells, pa.ExtensionArray):
        cells = cells.storage
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if cells.type in (pa.string_view(), pa.binary_view()):
        cells = pc.cast(cells, pa.large_binary() if cells.type == pa.binary_view() else pa.large_string())
    return cells


def list_lengths(cells: pa.Array) -> pa.Array:
    """The length of each list, 0 for a missing one."""
    return pc.fill_null(pc.list_value_length(cells), 0).cast(pa.int32())
