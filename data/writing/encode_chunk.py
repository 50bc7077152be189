"""Encodes chunks of rows in several threads, and returns the results in the order of the chunks."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

import pyarrow as pa

from fullrank.data.records.encode_block import encode_blocks
from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.records.frames import compressed, framed
from fullrank.data.records.packing import Packing
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.tables.staged_rows import REQUEST
from fullrank.data.writing.request_columns import Requests, by_request

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD: Final = 3
"""Items in flight per thread: enough to keep all busy, few enough to bound memory."""


class Encoded(NamedTuple):
    """A piece of a record file, the examples in it, and, if they are grouped by request, the requests."""

    content: bytes
    examples: int
    requests: Requests | None = None


def encode_chunk(batch: pa.RecordBatch, *, schema: Schema, per_request: tuple[str, ...] = ()) -> Encoded:
    """Encodes staged rows in the layout and compression of the schema.

    Args:
      batch: Rows, with `REQUEST` if columns are held once per request.
      schema: Their schema.
      per_request: Columns that are held once per request.
    """
    columns = column_batch(batch, schema, arrow_bytes=schema.layout == "block")
    if per_request:
        request = batch.column(REQUEST).to_numpy(zero_copy_only=False)
        found = by_request(columns, request=request, shared=per_request)
        packing = Packing(schema.columns, per_request)
        records = encode_blocks(found.columns, packing=packing, sizes=found.sizes)
        content = compressed(framed(records), schema.compression)
        return Encoded(content, batch.num_rows, found._replace(columns={}))
    if schema.layout == "example":
        records = encode_examples(columns, schema_columns=schema.columns)
    else:
        records = encode_blocks(columns, packing=Packing(schema.columns))
    return Encoded(compressed(framed(records), schema.compression), batch.num_rows)


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> Iterator[_Result]:
    """Yields `function(item)` for every item, in order, working on a few items ahead.

    Args:
      function: Function of an item; threads speed it up where NumPy, Arrow or zlib does its work.
      items: Drawn from in the calling thread, no faster than results are used.
      threads: At least 1.
    """
    waiting: collections.deque[Future[_Result]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
