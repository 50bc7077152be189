"""Sorting more rows than fit in memory: sorted pieces on disk, merged block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BLOCK_ROWS = 65_536


def write_run(table: pa.Table, *, path: Path, keys: Sequence[str]) -> None:
    """Writes a table to `path`, sorted by `keys`, ascending."""
    pq.write_table(sorted_by(table, keys), path, row_group_size=_BLOCK_ROWS, compression="zstd")


def read_run(path: Path, *, block_rows: int = _BLOCK_ROWS) -> Iterator[pa.Table]:
    """The rows of a run, in order, a block at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=block_rows):
            yield pa.Table.from_batches([batch])


def sorted_by(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The table's rows in ascending order of `keys`."""
    return table.sort_by([(key, "ascending") for key in keys])


def merge_runs(runs: Iterable[Iterator[pa.Table]], *, keys: Sequence[str]) -> Iterator[pa.Table]:
    """Merges sorted runs into one sorted stream, holding one block of each.

    In each step everything up to the smallest last key of the blocks at hand is complete: no run can bring anything
    smaller any more. So rows of equal keys always come in one table, as long as no run has two of them.

    Args:
      runs: Streams of tables of one schema, each sorted by `keys` and without nulls in them.
      keys: Columns to sort by, ascending; the first decides.

    Yields:
      Sorted tables, each after the one before.
    """
    waiting = [(head, run) for run in runs if (head := _next_block(run)) is not None]
    while waiting:
        bound = min(tuple(head[key][-1].as_py() for key in keys) for head, _ in waiting)
        complete: list[pa.Table] = []
        left: list[tuple[pa.Table, Iterator[pa.Table]]] = []
        for head, run in waiting:
            rows = _rows_up_to(head, keys, bound)
            complete.append(head.slice(0, rows))
            rest = head.slice(rows) if rows < head.num_rows else _next_block(run)
            if rest is not None:
                left.append((rest, run))
        waiting = left
        yield sorted_by(pa.concat_tables(complete), keys)


def _next_block(run: Iterator[pa.Table]) -> pa.Table | None:
    return next((block for block in run if block.num_rows), None)


def _rows_up_to(table: pa.Table, keys: Sequence[str], bound: tuple[object, ...]) -> int:
    """How many of the sorted rows are at most `bound` in lexicographic order."""
    at_most = None
    for key, value in zip(reversed(keys), reversed(bound), strict=True):
        limit = pa.scalar(value, table[key].type)
        less = pc.less(table[key], limit)
        tie = pc.equal(table[key], limit)
        at_most = pc.or_(less, tie if at_most is None else pc.and_(tie, at_most))
    return int(pc.sum(at_most).as_py())
