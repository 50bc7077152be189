"""What every step of a conversion on Apache Beam knows, and where it finds the rows of a file that were read before."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as pa_dataset

from fullrank.data.beam.declarations import Declaration, declarations
from fullrank.data.files.write_aside import file_aside, write_text
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import Dialect
from fullrank.data.tables.flags import Join
from fullrank.data.tables.staged_rows import ROWS, StagedRows

STAGED: Final = "staged"
"""The rows of a file: an Arrow file with the columns of `ROWS`, and what was found while they were read."""
_ROWS_OF_BATCH: Final = 65_536


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file, the number of its source among the job's, and how it is written."""

    path: str
    source: int
    dialect: Dialect


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A conversion.

    Attributes:
      schema: The schema, with the layout and compression of the output.
      files: All files, in the order of their rows.
      sources: Names of the sources.
      how: The split rule: `source`, `column`, `time` or `random`.
      fractions: Shares of the splits by time and at random.
      seed: Seed of the splits at random.
      names: For each source, every column that any of its files has or that a join adds.
      optional: Columns that all files may lack.
      extras: See `StagedRows`.
      joins: Tables that are joined to each file.
      scratch: Directory for the results of steps, which all workers see.
      output: Directory of the shards, which all workers see.
      shards: Shards per split; `None` for `default_shards`.
      groups: Into how many groups keys and ids are divided.
    """

    schema: Schema
    files: tuple[InputFile, ...]
    sources: tuple[str, ...]
    how: str
    fractions: tuple[float, ...]
    seed: int
    names: tuple[tuple[str, ...], ...]
    optional: frozenset[str]
    extras: Mapping[str, str]
    joins: tuple[Join, ...]
    scratch: str
    output: str
    shards: int | None
    groups: int

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """What is taken from earlier rows."""
        return declarations(self.schema)

    def place(self, number: int, name: str) -> Path:
        """Where a result about the `number`-th file is; every file has a folder, so that folders stay small."""
        return Path(self.scratch) / f"file-{number:06d}" / name

    def note(self, number: int, name: str, found: Any) -> None:
        """Writes a result about a file as JSON, whole or not at all: a step may run twice."""
        write_text(self.place(number, f"{name}.json"), json.dumps(found))

    def noted(self, name: str) -> list[Any]:
        """The results that `note` wrote about all files, in order."""
        return [
            json.loads(self.place(number, f"{name}.json").read_text(encoding="utf-8"))
            for number in range(len(self.files))
        ]

    @contextlib.contextmanager
    def database(
        self, *, bad_rows: BadRows | None = None, readable: Sequence[Path] = (), names: Collection[str] = ()
    ) -> Iterator[tuple[StagedRows, Path]]:
        """Yields a temporary database of this worker, for rows that are yet to be added, and its directory.

        Args:
          bad_rows: How bad rows are treated.
          readable: Files that are read.
          names: Columns that a file may lack because other files of its source have them.
        """
        with (
            tempfile.TemporaryDirectory(prefix="fullrank-beam-") as directory,
            # A runner works on several steps at a time.
            open_database(Path(directory), threads=1, readable=readable) as connection,
        ):
            rows = StagedRows(
                connection,
                schema=self.schema,
                bad_rows=BadRows() if bad_rows is None else bad_rows,
                optional=self.optional.union(names),
                joins=len(self.joins),
                extras=self.extras,
            )
            yield rows, Path(directory)

    @contextlib.contextmanager
    def read_rows(self, number: int) -> Iterator[StagedRows]:
        """Yields the rows of a file as step 1 has read them."""
        with self.database() as (rows, _):
            rows.sources.extend(self.sources)
            insert(rows, pa_dataset.dataset(self.place(number, f"{STAGED}.arrow"), format="ipc"))
            yield rows

    @contextlib.contextmanager
    def whole_rows(self, number: int) -> Iterator[StagedRows]:
        """Yields the rows of a file with what step 2 has taken from earlier rows."""
        with self.read_rows(number) as rows:
            for place, declaration in enumerate(self.declarations if rows.total else ()):
                table = read_arrow(self.place(number, f"earlier-{place}.arrow"))
                instead = {name: f"e{k}" for k, name in enumerate(declaration.names)}
                rows.put_beside(f"earlier{place}", table, instead=instead)
            yield rows


def insert(rows: StagedRows, table: Any, *, columns: str = "*") -> None:
    """Adds rows of an Arrow table or data set, which has the names of `ROWS`, in their order."""
    rows.connection.register("given", table)
    rows.connection.execute(f"INSERT INTO {ROWS} BY NAME SELECT {columns} FROM given")
    rows.connection.unregister("given")


def write_arrow(file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes an Arrow file, whole or not at all."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        file_aside(file) as aside,
        pa.OSFile(str(aside), "wb") as output,
        pa.ipc.new_file(output, schema, options=options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def write_query(file: Path, rows: StagedRows, query: str) -> None:
    """Writes the result of a query as an Arrow file."""
    reader = rows.connection.sql(query).to_arrow_reader(_ROWS_OF_BATCH)
    write_arrow(file, reader.schema, reader)


def read_arrow(file: Path) -> pa.Table:
    """Reads an Arrow file."""
    with pa.OSFile(str(file), "rb") as source:
        return pa.ipc.open_file(source).read_all()


def packed(table: pa.Table) -> bytes:
    """An Arrow table as bytes that Beam moves between workers."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(content: bytes) -> pa.Table:
    """The table that `packed` turned into bytes."""
    return pa.ipc.open_stream(content).read_all()


def by_group(table: pa.Table, column: str) -> Iterator[tuple[int, pa.Table]]:
    """Divides a table that is sorted by a column of groups: each group and its rows, without that column."""
    groups = table[column].to_numpy()
    table = table.drop_columns([column])
    start = 0
    while start < len(groups):
        end = int(groups.searchsorted(groups[start], side="right"))
        yield int(groups[start]), table.slice(start, end - start)
        start = end
