"""Writes rows as one block, without TensorFlow; `block_layout` describes the format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.records.packing import HEADER, MATRICES, ROWS, SIZES, Packing, Part
from fullrank.data.records.wire_format import (
    FIRST,
    LIST_TAG,
    Bytes,
    bytes_feature,
    example,
    field,
    list_feature,
    list_items,
    varint,
)
from fullrank.data.schema.ragged import Columns, Ragged, taken

BLOCK_ROWS: Final = 1000
Sizes = npt.NDArray[np.int32]
"""The number of rows of each request, int32 `[R]`."""

_Cells = tuple[npt.NDArray[np.int64], Bytes, bool]
"""Where each row begins and the last one ends, all bytes, and whether they are already a list of byte strings."""


def encode_block(columns: Columns, *, packing: Packing, sizes: Sizes | None = None) -> bytes:
    """Serializes rows as one block.

    Args:
      columns: A column batch of n >= 1 rows that has every column of `packing`.
      packing: The layout of the block.
      sizes: As in `encode_blocks`.
    """
    (block,) = encode_blocks(columns, packing=packing, block_rows=sys.maxsize, sizes=sizes)
    return block


def encode_blocks(
    columns: Columns, *, packing: Packing, block_rows: int = BLOCK_ROWS, sizes: Sizes | None = None
) -> list[bytes]:
    """Serializes rows as blocks of `block_rows`; the last one has the remaining rows.

    A block with requests holds whole ones, as many as it has room for; a request of more than `block_rows` rows is
    divided, and each part of it is stored as a request.

    Args:
      columns: A column batch of n >= 1 rows. If `packing` has columns of requests, these have one row per request.
      packing: The layout of the block.
      block_rows: The most rows of a block.
      sizes: Rows of each request, which follow each other; `None` without requests.

    Raises:
      ValueError: If only one of `packing` and `sizes` is about requests.
    """
    if (sizes is None) != (packing.requests is None):
        raise ValueError("encode_blocks needs sizes if the packing has columns of requests, and not otherwise.")
    rows = _rows(columns, packing.rows)
    if sizes is None or packing.requests is None:
        starts = np.append(np.arange(0, rows, block_rows), rows)
        cells = [(starts, *each) for each in _parts(columns, packing.rows, rows)]
    else:
        columns, sizes = _at_most(columns, packing, sizes, block_rows)
        requests = _whole_requests(sizes, block_rows)
        starts = np.append(0, np.cumsum(sizes, dtype=np.int64))[requests]
        cells = [(starts, *each) for each in _parts(columns, packing.rows, rows)]
        cells += [(requests, *each) for each in _parts(columns, packing.requests, len(sizes))]
        cells.append((requests, SIZES, _raw(sizes, "<i4", np.arange(len(sizes) + 1))))
    header = bytes_feature(packing.header())
    blocks = []
    for block, number in enumerate(np.diff(starts).tolist()):
        features = {HEADER: header, ROWS: (field(LIST_TAG["int64"], field(FIRST, varint(number))),)}
        for places, name, (offsets, content, listed) in cells:
            piece = content[offsets[places[block]] : offsets[places[block + 1]]]
            features[name] = list_feature(piece) if listed else bytes_feature(piece)
        blocks.append(example(features))
    return blocks


def _rows(columns: Columns, part: Part) -> int:
    first = columns[part.columns[0].name]
    return first.rows if isinstance(first, Ragged) else len(first)


def _at_most(columns: Columns, packing: Packing, sizes: Sizes, block_rows: int) -> tuple[Columns, Sizes]:
    """The columns and sizes with every request of more than `block_rows` rows divided."""
    if sizes.max(initial=0) <= block_rows:
        return columns, sizes
    pieces = -(-sizes // block_rows)
    owner = np.repeat(np.arange(len(sizes)), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    divided = np.minimum(block_rows, sizes[owner] - number * block_rows).astype(np.int32)
    repeated = {name: taken(columns[name], owner) for name in packing.per_request}
    return {**columns, **repeated}, divided


def _whole_requests(sizes: Sizes, block_rows: int) -> npt.NDArray[np.int64]:
    """The first request of each block, and the number of requests."""
    ends = np.cumsum(sizes, dtype=np.int64)
    first, done = [0], 0
    while first[-1] < len(sizes):
        place = int(np.searchsorted(ends, min(done + block_rows, int(ends[-1])), side="right"))
        first.append(place)
        done = int(ends[place - 1])
    return np.array(first)


def _parts(columns: Columns, part: Part, rows: int) -> Iterator[tuple[str, _Cells]]:
    """The cells of each feature."""
    for dtype, width in part.widths().items():
        name = f"{part.prefix}{dtype}"
        if dtype == "bytes":
            single: list[Any] = []
            for column in part.matrix(dtype):
                values: Any = columns[column.name]
                single += values.T if column.form == "fixed" else [values]
            yield name, (*list_items(*single), True)
        else:
            cells = [np.asarray(columns[column.name]).reshape(rows, column.length) for column in part.matrix(dtype)]
            yield name, _raw(np.concatenate(cells, axis=1), MATRICES[dtype], np.arange(rows + 1) * width)
    for column in part.many:
        data = columns[column.name]
        assert isinstance(data, Ragged)  # noqa: S101
        data = data.last(column.length)
        ends = np.concatenate(([0], np.cumsum(data.lengths, dtype=np.int64)))
        if column.dtype == "bytes":
            offsets, content = list_items(data.values)
            yield f"{part.prefix}values:{column.name}", (offsets[ends], content, True)
        else:
            yield f"{part.prefix}values:{column.name}", _raw(data.values, MATRICES[column.dtype], ends)
        yield f"{part.prefix}lengths:{column.name}", _raw(data.lengths, "<i4", np.arange(rows + 1))


def _raw(values: npt.NDArray[Any], dtype: str, offsets: npt.NDArray[np.int64]) -> _Cells:
    stored = values.astype(dtype, copy=False)
    return offsets * stored.itemsize, stored.reshape(-1).view(np.uint8).data, False
