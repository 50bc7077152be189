"""What a worker process does with a chunk of rows: encode it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fullrank.data.arrow_columns import column_batch
from fullrank.data.encode_block import BLOCK_ROWS, Packing, encode_block
from fullrank.data.encode_examples import encode_examples
from fullrank.data.ragged import Columns, take_rows
from fullrank.data.record_file import compressed, framed
from fullrank.data.schema import Schema


class Encoded(NamedTuple):
    """A piece of a record file, and the examples in it."""

    content: bytes
    examples: int


def encode_chunk(chunk: pa.RecordBatch | bytes, *, schema: Schema) -> Encoded:
    """Encodes staged rows in the layout and compression of the schema."""
    batch = from_bytes(chunk) if isinstance(chunk, bytes) else chunk
    content = framed(encode_rows(column_batch(batch, schema), batch.num_rows, schema))
    return Encoded(compressed(content, schema.compression), batch.num_rows)


def encode_rows(columns: Columns, rows: int, schema: Schema) -> list[bytes]:
    """A column batch of `rows` rows as records in the layout of the schema."""
    if schema.layout == "example":
        return encode_examples(columns, schema_columns=schema.columns)
    packing = Packing(schema.columns)
    starts = range(0, rows, BLOCK_ROWS)
    blocks = (take_rows(columns, np.arange(start, min(rows, start + BLOCK_ROWS))) for start in starts)
    return [encode_block(block, packing=packing) for block in blocks]


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
