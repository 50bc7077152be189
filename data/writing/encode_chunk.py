"""What a worker does with a chunk of rows: encode it."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from fullrank.data.records.encode_block import Packing, encode_blocks
from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.records.frames import compressed, framed
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.arrow_columns import column_batch


class Encoded(NamedTuple):
    """A piece of a record file, and the examples in it."""

    content: bytes
    examples: int


def encode_chunk(batch: pa.RecordBatch, *, schema: Schema) -> Encoded:
    """Encodes staged rows in the layout and compression of the schema."""
    columns = column_batch(batch, schema, arrow_bytes=schema.layout == "block")
    if schema.layout == "example":
        records = encode_examples(columns, schema_columns=schema.columns)
    else:
        records = encode_blocks(columns, packing=Packing(schema.columns))
    return Encoded(compressed(framed(records), schema.compression), batch.num_rows)
