"""Criteo's display ads as on Kaggle: 13 counts and 26 hashed categories, one label, 45.8 million rows.

Origin: Criteo, Display Advertising Challenge 2014 on Kaggle, seven days of traffic with subsampled negatives. Its terms
allow research use and forbid redistribution, so it is read from the user's own copy of `train.txt`.

Rows: 45,840,617; 25.6 % clicks. The file is streamed: memory does not grow with it.

Split: the file is in order of time, so its first 80 % are train, then 10 % validation and 10 % test. Much published
work divides at random 8:1:1 instead, which lets a model see the future; those numbers are higher and do not compare.
`test.txt` of the challenge has no labels and is not read.

Leaks, decided: none known; what the columns mean was never published. The counts stay as they are (some are negative),
missing where the field is empty. A category seen fewer than 10 times in train shares the row of unknown ones, the
threshold of the challenge's best entries, which also trains that row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from tqdm import tqdm

from fullrank.data.features import Feature, IdMap, Label, Numeric, Sparse
from fullrank.data.schema import Schema
from fullrank.data.sources.delimited import find_file
from fullrank.data.sources.raw_directory import required
from fullrank.data.sources.source import Source
from fullrank.data.sources.splits import bounds
from fullrank.data.table_reader import TableReader

NOTICE: Final = (
    "Criteo's terms allow research use and forbid redistribution of the data, and so of records made from it."
)
LABEL: Final = "click"
COUNTS: Final = tuple(f"I{k}" for k in range(1, 14))
CATEGORIES: Final = tuple(f"C{k}" for k in range(1, 27))
COLUMNS: Final = (LABEL, *COUNTS, *CATEGORIES)
MIN_COUNT: Final = 10


def load(*, raw_dir: Path | None, min_count: int = MIN_COUNT, progress: bool = True) -> Source:
    """Opens Criteo's file. It is read once to count its rows, and again whenever a split is opened.

    Args:
      raw_dir: Folder with `train.txt` (also `.gz`).
      min_count: A category seen less often in train is left out of the vocabulary.
      progress: Whether to show how far counting is.

    Raises:
      ValueError: If no folder was given or a line is malformed.
      FileNotFoundError: If the folder does not hold the file.
    """
    directory = required(raw_dir, dataset="criteo", holds="train.txt (Kaggle, Criteo display advertising challenge)")
    path = find_file(directory, "train.txt", "train.txt.gz", dataset="criteo")
    reader = TableReader(files=(path,), separator="\t", header=COLUMNS)
    rows = _count(reader, progress=progress)
    splits = {name: Stretch(reader, begin, end) for name, (begin, end) in bounds(rows).items()}
    return Source(schema=_schema(min_count), splits=splits, notice=NOTICE)


def _count(reader: TableReader, *, progress: bool) -> int:
    rows = 0
    with tqdm(desc="counting rows", unit=" rows", unit_scale=True, mininterval=1, disable=not progress) as bar:
        for batch in reader.batches([LABEL]):
            rows += batch.num_rows
            bar.update(batch.num_rows)
    return rows


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Opens the rows `begin` to `end` of a file.

    Attributes:
      reader: Of the whole file.
      begin: First row, from 0.
      end: One past the last row.
    """

    reader: TableReader
    begin: int
    end: int

    def __call__(self) -> Iterable[pa.RecordBatch]:
        """The rows of the stretch, a bounded batch at a time."""
        return self._batches()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        position = 0
        for batch in self.reader.batches():
            first, last = max(self.begin - position, 0), min(self.end - position, batch.num_rows)
            if first < last:
                yield batch.slice(first, last - first)
            position += batch.num_rows
            if position >= self.end:
                return

    @property
    def rows(self) -> int:
        """Rows of the stretch."""
        return self.end - self.begin


def _schema(min_count: int) -> Schema:
    features: list[Feature] = [Numeric(name=name) for name in COUNTS]
    features += [Sparse(name=name, dtype="bytes", ids=IdMap(min_count=min_count)) for name in CATEGORIES]
    return Schema(name="criteo", features=tuple(features), labels=(Label(name=LABEL),))
