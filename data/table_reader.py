"""Streams CSV, TSV and Parquet files as Arrow batches that know which row of which file they came from."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fullrank.data.added_columns import AddedColumns
from fullrank.data.bad_rows import BadRows
from fullrank.data.naming_errors import naming_errors
from fullrank.data.table_columns import FILE_COLUMN, ROW_COLUMN

_SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_PARQUET: Final = (".parquet", ".pq")
_COMPRESSED: Final = (".gz", ".bz2")
_BATCH_ROWS: Final = 65_536
_BLOCK_BYTES: Final = 8 << 20


def find_files(pattern: str) -> tuple[Path, ...]:
    """The files that a pattern such as `clicks/*.parquet` names, sorted; several patterns are separated by commas.

    Raises:
      FileNotFoundError: If a part matches no file.
      ValueError: If a file is neither CSV, TSV nor Parquet by its ending.
    """
    files: list[Path] = []
    for part in filter(None, (part.strip() for part in pattern.split(","))):
        found = sorted(Path(name) for name in glob.glob(part, recursive=True))
        if len(found) == 1 and found[0].is_dir():
            raise FileNotFoundError(
                f"{part!r} is a directory: name its files, for example '{part.rstrip('/')}/*.parquet'."
            )
        found = [file for file in found if not file.is_dir()]
        if not found:
            raise FileNotFoundError(f"No file matches {part!r}.")
        files.extend(file for file in found if file not in files)
    for file in files:
        if _ending(file) not in (*_SEPARATORS, *_PARQUET):
            raise ValueError(
                f"{file}: the name must end in .csv, .tsv or .txt (also with .gz or .bz2), .parquet or .pq."
            )
    if not files:
        raise FileNotFoundError("No input file was named.")
    return tuple(files)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableReader:
    """Reads files one after the other, as often as asked, a bounded piece at a time.

    The cells of CSV and TSV come as binary text: what they mean is decided by the schema, in `to_columns`, which can
    then name a bad cell.

    Attributes:
      files: As from `find_files`.
      separator: Of CSV and TSV; `None` for a comma or tab by the name's ending.
      header: Column names, where CSV and TSV have no line of names; `None` where they do.
      bad_rows: What to do about lines with too many or too few cells.
      joins: What adds columns to every row, such as tables that are joined, one after the other.
    """

    files: tuple[Path, ...]
    separator: str | None = None
    header: tuple[str, ...] | None = None
    bad_rows: BadRows = dataclasses.field(default_factory=BadRows)
    joins: tuple[AddedColumns, ...] = ()
    _counted: set[Path] = dataclasses.field(default_factory=set, init=False, repr=False)

    def names(self, file: Path) -> list[str]:
        """The column names of a file, those of joined tables last.

        Raises:
          ValueError: If it cannot be read, or lacks the key of a joined table or has a column of one.
        """
        names = self._own_names(file)
        for join in self.joins:
            join.check(names, source=str(file))
            names += join.columns
        return names

    def _own_names(self, file: Path) -> list[str]:
        with naming_errors(file):
            if _ending(file) in _PARQUET:
                return list(pq.read_schema(file).names)
            with self._open(file, {}, lambda row: "skip") as reader:
                return list(reader.schema.names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows of all files in order, with `FILE_COLUMN` and `ROW_COLUMN`.

        Args:
          columns: Columns to read, as far as a file or a joined table has them; `None` for all.

        Raises:
          ValueError: If a file cannot be read, or a line is malformed and bad rows are not skipped.
        """
        wanted = None if columns is None else set(columns)
        joins: list[AddedColumns] = []
        for join in reversed(self.joins):
            if wanted is None or wanted & {*join.columns}:
                joins.insert(0, join)
                wanted = None if wanted is None else {*wanted, join.key}
        for file in self.files:
            if joins:
                self.names(file)  # checks them
            for batch in self._of_file(file, wanted):
                for join in joins:
                    batch = join.add(batch, wanted)
                yield batch

    def _of_file(self, file: Path, columns: set[str] | None) -> Iterator[pa.RecordBatch]:
        names = self._own_names(file)
        wanted = names if columns is None else [name for name in names if name in columns]
        # Rows are counted by reading one column, because "no columns" means all of them to the CSV reader.
        wanted = wanted or names[:1]
        read = self._parquet if _ending(file) in _PARQUET else self._csv
        with naming_errors(file):
            yield from read(file, wanted)

    def _parquet(self, file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
        first = 1
        with pq.ParquetFile(file) as source:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield _with_origin(batch, file, np.arange(first, first + batch.num_rows))
                first += batch.num_rows

    def _csv(self, file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
        # Arrow swallows what its handler raises, so malformed rows are noted there and judged here.
        malformed: list[pa_csv.InvalidRow] = []
        numbers_of_malformed: list[int] = []

        def note(row: pa_csv.InvalidRow) -> str:
            malformed.append(row)
            numbers_of_malformed.append(row.number - (self.header is None))
            return "skip"

        rows = 0
        with self._open(file, {name: pa.binary() for name in columns}, note) as reader:
            for batch in reader:
                self._judge(file, malformed)
                numbers = _numbers(rows, batch.num_rows, numbers_of_malformed)
                rows = int(numbers[-1]) if len(numbers) else rows
                yield _with_origin(batch, file, numbers)
        self._judge(file, malformed)
        if file not in self._counted:
            self._counted.add(file)
            self.bad_rows.saw(max([rows, *numbers_of_malformed]))

    def _judge(self, file: Path, malformed: list[pa_csv.InvalidRow]) -> None:
        for row in malformed:
            if file not in self._counted:
                self.bad_rows.add(
                    f"{file}, row {row.number - (self.header is None)}: {row.actual_columns} cells instead of "
                    f"{row.expected_columns}: {row.text[:60]!r}{'...' if len(row.text) > 60 else '.'}"
                )
        malformed.clear()

    def _open(
        self, file: Path, types: dict[str, pa.DataType], on_malformed: Callable[[pa_csv.InvalidRow], str]
    ) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            file,
            # One thread, because only then is a malformed row reported with its number.
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=self.header),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.separator or _SEPARATORS[_ending(file)],
                newlines_in_values=True,
                invalid_row_handler=on_malformed,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=True, null_values=[""]
            ),
        )


def _ending(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _numbers(before: int, count: int, skipped: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The numbers of the next `count` rows after row `before`, leaving out `skipped` ones."""
    inside = sorted(number for number in skipped if number > before)
    numbers = np.arange(before + 1, before + 1 + count + len(inside))
    return np.setdiff1d(numbers, inside)[:count]


def _with_origin(batch: pa.RecordBatch, file: Path, numbers: object) -> pa.RecordBatch:
    codes = pa.array(np.zeros(batch.num_rows, np.int32))
    origin = pa.DictionaryArray.from_arrays(codes, pa.array([str(file)]))
    return batch.append_column(FILE_COLUMN, origin).append_column(ROW_COLUMN, pa.array(numbers))
