"""What a worker process does with a chunk of rows: summarise it, or encode it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.chunks import from_bytes
from fullrank.data.encode_block import BLOCK_ROWS, Packing, encode_block
from fullrank.data.encode_examples import encode_examples
from fullrank.data.ragged import Columns, Ragged, take_rows
from fullrank.data.record_bytes import compressed, framed
from fullrank.data.schema import Schema
from fullrank.data.statistics import ChunkSummary, summarise
from fullrank.data.table_columns import BadCell, convert_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """How rows are to be converted.

    Attributes:
      schema: With its layout and compression.
      list_delimiter: As in `to_columns`.
    """

    schema: Schema
    list_delimiter: str


class Summarised(NamedTuple):
    """The summary of a chunk and its bad rows."""

    summary: ChunkSummary
    bad: list[BadCell]


class Encoded(NamedTuple):
    """A piece of a record file, the examples in it, the rows it came from, and the bad ones among them."""

    content: bytes
    examples: int
    rows: int
    bad: list[BadCell]


def summarise_chunk(chunk: pa.RecordBatch | bytes, *, work: Work) -> Summarised:
    """Converts a chunk and summarises its good rows."""
    columns, _, bad = _good_rows(chunk, work)
    return Summarised(summarise(columns, work.schema), bad)


def encode_chunk(chunk: pa.RecordBatch | bytes, *, work: Work) -> Encoded:
    """Converts a chunk and encodes its good rows in the layout and compression of the schema."""
    columns, rows, bad = _good_rows(chunk, work)
    examples = rows - len(bad)
    content = framed(encode_rows(columns, examples, work.schema))
    return Encoded(compressed(content, work.schema.compression), examples, rows, bad)


def encode_rows(columns: Columns, rows: int, schema: Schema) -> list[bytes]:
    """A column batch of `rows` rows as records in the layout of the schema."""
    if schema.layout == "example":
        return encode_examples(columns, schema_columns=schema.columns)
    packing = Packing(schema.columns)
    starts = range(0, rows, BLOCK_ROWS)
    blocks = (take_rows(columns, np.arange(start, min(rows, start + BLOCK_ROWS))) for start in starts)
    return [encode_block(block, packing=packing) for block in blocks]


def _good_rows(
    chunk: pa.RecordBatch | bytes, work: Work
) -> tuple[dict[str, npt.NDArray[Any] | Ragged], int, list[BadCell]]:
    """The good rows as columns, the number of rows before, and one bad cell of each bad row."""
    batch = from_bytes(chunk) if isinstance(chunk, bytes) else chunk
    columns, bad = convert_rows(batch, work.schema, list_delimiter=work.list_delimiter)
    if not bad:
        return columns, batch.num_rows, []
    first: dict[int, BadCell] = {}
    for cell in bad:
        first.setdefault(cell.row, cell)
    good = np.setdiff1d(np.arange(batch.num_rows), list(first))
    return take_rows(columns, good), batch.num_rows, list(first.values())
