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


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Opens a table that is in memory already.

    Attributes:
      table: The rows of one split.
    """

    table: pa.Table

    def __call__(self) -> Iterable[pa.RecordBatch]:
        """The rows from the first on."""
        yield from self.table.to_batches(max_chunksize=16_384)

    @property
    def rows(self) -> int:
        """Rows of the split, so that nobody has to count them."""
        return int(self.table.num_rows)


def divided(table: pa.Table, positions: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Batches]:
    """Openers of the splits of a table.

    Args:
      table: All rows.
      positions: Split name -> ascending positions of its rows, not empty.
    """
    splits: dict[str, Batches] = {}
    for name, rows in positions.items():
        together = rows[-1] - rows[0] + 1 == len(rows)  # then a slice, which copies nothing, does
        splits[name] = InMemory(table.slice(int(rows[0]), len(rows)) if together else table.take(pa.array(rows)))
    return splits
