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
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv
from tqdm import tqdm

from fullrank.data.schema.features import Feature, IdMap, Label, Numeric, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.raw_files import find_file, required
from fullrank.data.sources.source import Source, bounds
from fullrank.data.tables.naming_errors import naming_errors

NOTICE: Final = (
    "Criteo's terms allow research use and forbid redistribution of the data, and so of records made from it."
)
LABEL: Final = "click"
COUNTS: Final = tuple(f"I{k}" for k in range(1, 14))
CATEGORIES: Final = tuple(f"C{k}" for k in range(1, 27))
COLUMNS: Final = (LABEL, *COUNTS, *CATEGORIES)
MIN_COUNT: Final = 10
BLOCK_BYTES: Final = 8 << 20


def load(*, raw_dir: Path | None, min_count: int = MIN_COUNT, progress: bool = True) -> Source:
    """Opens Criteo's file, which is read once to count its rows, and again whenever a split is opened.

    Args:
      raw_dir: Folder with `train.txt` (also `.gz`).
      min_count: A category seen less often in train is left out of the vocabulary.
      progress: Whether to show the progress of counting.

    Raises:
      ValueError: If no folder was given or a line is malformed.
      FileNotFoundError: If the folder does not hold the file.
    """
    directory = required(raw_dir, dataset="criteo", holds="train.txt (Kaggle, Criteo display advertising challenge)")
    path = find_file(directory, "train.txt", "train.txt.gz", dataset="criteo")
    rows = 0
    with tqdm(desc="counting rows", unit=" rows", unit_scale=True, mininterval=1, disable=not progress) as bar:
        for batch in _batches(path):
            rows += batch.num_rows
            bar.update(batch.num_rows)
    splits = {name: Stretch(path, begin, end) for name, (begin, end) in bounds(rows).items()}
    return Source(schema=_schema(min_count), splits=splits, notice=NOTICE)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with (
        naming_errors(path),
        pa_csv.open_csv(
            path,
            # One thread, because only then is a malformed row reported with its number.
            read_options=pa_csv.ReadOptions(column_names=COLUMNS, block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
        ) as reader,
    ):
        yield from reader


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Opens the rows `begin` to `end` of a file.

    Attributes:
      path: The whole file.
      begin: First row, from 0.
      end: One past the last row.
    """

    path: Path
    begin: int
    end: int

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """The rows of the stretch, a bounded batch at a time."""
        position = 0
        for batch in _batches(self.path):
            first, last = max(self.begin - position, 0), min(self.end - position, batch.num_rows)
            if first < last:
                yield batch.slice(first, last - first)
            position += batch.num_rows
            if position >= self.end:
                return


def _schema(min_count: int) -> Schema:
    features: list[Feature] = [Numeric(name=name) for name in COUNTS]
    features += [Sparse(name=name, dtype="bytes", ids=IdMap(min_count=min_count)) for name in CATEGORIES]
    return Schema(name="criteo", features=tuple(features), labels=(Label(name=LABEL),))
