"""The return type of every data set source: a schema without statistics, and its splits as streams of Arrow batches.

Rows are divided by position in time, or at random by a seed.

Arrow column names are the schema's column names. A single value is a plain Arrow column with null for "missing"; a
multi-valued feature, a sequence and a vector are list columns. Nothing here depends on how records are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema.schema import Schema, SchemaError

SHARES: Final = {"train": 0.8, "validation": 0.1, "test": 0.1}
_SEEDS: Final = {"train": 0, "validation": 1, "test": 2}
Batches = Callable[[], Iterable[pa.RecordBatch]]
"""Opens a split from its start; called more than once, because statistics are fitted before records are written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A data set ready to be written as records.

    Attributes:
      schema: Features, labels, keys and segments; statistics and splits are filled in by the writer.
      splits: Split name (`train`, `validation`, `test`, ...) -> opener of its rows.
      notice: What users must know before they use the data (licence, selection bias); "" for nothing.
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
    """Opens a table that is already in memory.

    Attributes:
      table: The rows of one split.
    """

    table: pa.Table

    def __call__(self) -> Iterable[pa.RecordBatch]:
        """All rows, from the first on."""
        yield from self.table.to_batches(max_chunksize=16_384)

    @property
    def rows(self) -> int:
        """The number of rows of the split, known without counting."""
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


def bounds(rows: int) -> dict[str, tuple[int, int]]:
    """Where each split begins and ends: the first 80 % of the rows are train, the next 10 % validation, the rest test.

    Args:
      rows: Number of rows.

    Returns:
      Split name -> (first row, one past the last row).

    Raises:
      ValueError: If a split would be empty.
    """
    if rows < 10:
        raise ValueError(f"{rows} rows are too few to divide 80/10/10: it takes at least 10.")
    edges = [round(edge * rows) for edge in np.cumsum([0.0, *SHARES.values()])]
    return {name: (edges[k], edges[k + 1]) for k, name in enumerate(SHARES)}


def by_position(rows: int) -> dict[str, npt.NDArray[np.int64]]:
    """80/10/10 in the order of the rows, which the caller has sorted by time.

    Args:
      rows: Number of rows.

    Returns:
      Split name -> row positions, in order.

    Raises:
      ValueError: If a split would be empty.
    """
    return {name: np.arange(begin, end, dtype=np.int64) for name, (begin, end) in bounds(rows).items()}


def at_random(rows: int, *, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    """80/10/10 at random, for data without time. The same rows and seed give the same split on every platform.

    Args:
      rows: Number of rows.
      seed: Seed of the permutation.

    Returns:
      Split name -> row positions, ascending within a split.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    return {name: np.sort(order[positions]) for name, positions in by_position(rows).items()}


def rare_positives(source: Source, *, label: str, share: float, seed: int = 0) -> Source:
    """Thins the positives of a source: each row whose label is 1 is kept with a probability, all other rows always.

    All splits are thinned alike, so that a model is tested at the base rate that it was trained at.

    Args:
      source: The data set.
      label: One of its binary labels.
      share: Share of the positives to keep, in (0, 1].
      seed: Seed of the draw; the same seed keeps the same rows, and those of a smaller share are among them.

    Raises:
      SchemaError: If there is no such binary label.
      ValueError: If `share` is out of range.
    """
    if source.schema.label(label).type != "binary":
        raise SchemaError(f"Positives need a binary label, but {label!r} is a real value.")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"The share of positives to keep is above 0 and at most 1. Received: {share:g}.")
    splits = {
        name: _thinned(rows, label=label, share=share, seed=(seed, _SEEDS.get(name, 3)))
        for name, rows in source.splits.items()
    }
    return dataclasses.replace(source, splits=splits)


def _thinned(rows: Batches, *, label: str, share: float, seed: tuple[int, int]) -> Batches:
    def opened() -> Iterable[pa.RecordBatch]:
        draw = np.random.default_rng(seed)
        for batch in rows():
            positive = pc.fill_null(pc.greater(batch.column(label), 0.5), False).to_numpy(zero_copy_only=False)
            kept = ~positive | (draw.random(batch.num_rows) < share)
            yield batch.filter(pa.array(kept))

    return opened
