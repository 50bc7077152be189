"""Arrow types as this package tells them apart."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string or binary of any width."""
    widths = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    return kind in widths or bool(pa.types.is_fixed_size_binary(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of any layout."""
    return bool(pa.types.is_nested(kind) and not pa.types.is_run_end_encoded(kind)) and hasattr(kind, "value_type")


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same values in one array without dictionary encoding, extension type or view layout."""
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
    """The length of each list, 0 for one that is missing."""
    return pc.fill_null(pc.list_value_length(cells), 0).cast(pa.int32())
