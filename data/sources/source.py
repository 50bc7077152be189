"""What every data set source returns: a schema without statistics, and its splits as streams of Arrow batches.

Arrow column names are the schema's column names. A single value is a plain Arrow column with null for "missing"; a
multi-valued feature, a sequence and a vector are list columns. Nothing here depends on how records are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.schema import Schema

Batches = Callable[[], Iterable[pa.RecordBatch]]
"""Opens a split from its start; called more than once, because statistics are fitted before records are written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A data set ready to be written as records.

    Attributes:
      schema: Features, labels, keys and segments; statistics and splits are filled in by the writer.
      splits: Split name (`train`, `validation`, `test`, ...) -> opener of its rows.
      notice: What the user must be told before using the data (licence, selection bias); "" for nothing.
    """

    schema: Schema
    splits: Mapping[str, Batches]
    notice: str = ""

    def table(self, split: str) -> pa.Table:
        """All rows of one split in memory.

        Raises:
          KeyError: If there is no such split.
        """
        return pa.Table.from_batches(list(self.splits[split]()))


def in_memory(table: pa.Table, *, batch_rows: int = 16_384) -> Batches:
    """An opener over a table that is in memory already.

    Args:
      table: The rows of one split.
      batch_rows: Most rows of a batch.
    """

    def open_split() -> Iterable[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=batch_rows)

    return open_split


def divided(table: pa.Table, positions: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Batches]:
    """Openers of the splits of a table.

    Args:
      table: All rows.
      positions: Split name -> ascending positions of its rows, not empty.
    """
    splits = {}
    for name, rows in positions.items():
        together = rows[-1] - rows[0] + 1 == len(rows)  # then a slice, which copies nothing, does
        splits[name] = in_memory(table.slice(rows[0], len(rows)) if together else table.take(pa.array(rows)))
    return splits
