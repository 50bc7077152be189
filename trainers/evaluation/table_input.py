"""Tables as batches of a model, converted by the rules of `fullrank convert` without writing records."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import tensorflow as tf
from absl import flags

from fullrank.data.files.write_aside import file_aside
from fullrank.data.records.example_layout import padded_last
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Key
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import Dialect, TableFiles
from fullrank.data.tables.flags import Join, open_joins, read_dialect, read_joins, read_reading
from fullrank.data.tables.history_rows import add_earlier_rows
from fullrank.data.tables.staged_rows import ROWS, StagedRows
from fullrank.data.writing.splits import by_source
from fullrank.trainers.training.records import ReadingConfig, batch_size_of

_SOURCE: Final = "input"
_LOG: Final = "log"
_DTYPES: Final = {"int64": tf.int64, "float32": tf.float32, "bytes": tf.string}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableReading:
    """How tables are read, as set by the flags of `fullrank convert`.

    Attributes:
      dialect: Dialect of CSV files.
      cells: Maps the schema's rules for cells to the rules in effect.
      joins: Tables whose columns are added.
    """

    dialect: Dialect = dataclasses.field(default_factory=Dialect)
    cells: Callable[[Reading | None], Reading | None] = lambda known: known
    joins: tuple[Join, ...] = ()


def read_table_reading(flag_values: flags.FlagValues) -> TableReading:
    """Reads the flags that `define_table_flags` defined.

    Raises:
      UsageError: If a flag has an invalid value.
    """
    return TableReading(
        dialect=read_dialect(flag_values),
        cells=functools.partial(read_reading, flag_values),
        joins=read_joins(flag_values),
    )


class TableBatches:
    """The good rows of tables, in their order: column name -> dense tensor, as the reader of records returns them.

    Args:
      rows: Rows of the tables.
      batch_size: B, rows of a batch.

    Attributes:
      element_spec: Column -> `[None]` or `[None, length]`.
    """

    def __init__(self, rows: StagedRows, *, batch_size: int) -> None:
        self._rows, self._batch_size = rows, batch_size
        self.element_spec = {
            column.name: tf.TensorSpec(column.batch_shape, _DTYPES[column.dtype]) for column in rows.schema.columns
        }

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        """Reads the rows once more."""
        schema = self._rows.schema
        condition = by_source(self._rows)[_SOURCE]
        for batch in self._rows.batches(condition, itertools.repeat(self._batch_size)):
            columns = column_batch(batch, schema)
            yield {column.name: _dense(columns[column.name], column) for column in schema.columns}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableInput:
    """Tables that have been read.

    Attributes:
      schema: The schema that they were converted to: the model's, plus unknown carried columns as text ids.
      present: The columns that the tables have.
      examples: Number of good rows.
      reports: Messages for the user: rows left out, partners found.
      rows: All rows.
      title: Name of the input in messages.
    """

    schema: Schema
    present: frozenset[str]
    examples: int
    reports: tuple[str, ...]
    rows: StagedRows
    title: str

    @contextlib.contextmanager
    def batches(self, config: ReadingConfig, *, cache: Path | None) -> Iterator[TableBatches]:
        """Yields the batches; bad rows have already been left out, so `cache` is not used."""
        del cache
        yield TableBatches(self.rows, batch_size=batch_size_of(config))

    def write_rejects(self, file: Path) -> None:
        """Writes file, row and reason of every row that was left out."""
        with file_aside(file) as aside, open(aside, "w", encoding="utf-8", errors="backslashreplace", newline="") as to:
            csv.writer(to).writerows([("file", "row", "reason"), *self.rows.bad_rows.rejects])


@contextlib.contextmanager
def open_tables(
    files: tuple[Path, ...],
    *,
    log: tuple[Path, ...] = (),
    schema: Schema,
    needed: Collection[str],
    carried: Collection[str],
    reading: TableReading,
    bad_rows: BadRows,
    directory: Path,
) -> Iterator[TableInput]:
    """Reads tables once, into a database on disk.

    Args:
      files: The tables, in the order of their rows.
      log: Tables of earlier rows, which are not scored but from which the schema derives columns. Files that are also
        among `files` are read once, as these.
      schema: Schema of the data that the model was trained on.
      needed: Columns of the schema that the tables must have; any other absent column has missing values.
      carried: Further columns that the tables must have. Those that the schema does not name are read as text ids.
      reading: How tables are read.
      bad_rows: How to treat bad rows, and where they are counted.
      directory: An existing directory for the database.

    Raises:
      ValueError: If files cannot be read or lack a column, or a row is bad and bad rows are not skipped.
    """
    known = {column.name for column in schema.columns}
    beside = tuple(Key(name=name, dtype="bytes") for name in carried if name not in known)
    cells = reading.cells(schema.reading)
    schema = dataclasses.replace(schema, keys=(*schema.keys, *beside), reading=cells, splits=())
    computed = cells.columns if cells is not None else ()
    # Features that the model does not read may be computed as well.
    filled = set(schema.filled)
    looked_up = {*(cells.looked_up if cells is not None else ()), *([schema.time] if filled and schema.time else [])}
    # The log need not have the carried columns.
    optional = ({*known, *(column.name for column in computed)} - {*needed, *looked_up}) | {
        *filled,
        *carried,
    }
    given = {file.resolve() for file in files}
    apart = tuple(file for file in log if file.resolve() not in given)
    both = len(log) - len(apart)
    readable = [*files, *log, *(file for join in reading.joins for file in join.files)]
    with open_database(directory, readable=readable) as connection:
        rows = StagedRows(
            connection,
            schema=schema,
            bad_rows=bad_rows,
            optional=optional,
            joins=len(reading.joins),
        )
        tables = open_joins(connection, reading.joins, directory, reading=cells)
        read = TableFiles(connection, files, dialect=reading.dialect, directory=directory)
        names = {*read.names, *(name for table in tables for name in table.columns)}
        _check_there(names, carried=carried, filled=() if log else filled & set(needed), source=str(files[0]))
        if log:
            earlier = _opened(connection, log, reading=reading, directory=directory / "log")
            held = {*earlier.names, *(name for table in tables for name in table.columns)}
            held |= {column.name for column in computed if all(given.name in held for given in column.inputs)}
            absent = sorted({*(cells.remembered if cells is not None else ()), *looked_up} - held)
            if absent:
                raise ValueError(f"--log: {log[0]} lacks {', '.join(absent)}, which identifies earlier rows.")
            if both and apart:
                earlier = _opened(connection, apart, reading=reading, directory=directory / "apart")
            if apart:
                rows.add_files(_LOG, earlier, joins=tables)
        rows.add_files(_SOURCE, read, joins=tables)
        if log:
            add_earlier_rows(rows)
        bad_rows.check()
        good = by_source(rows)[_SOURCE]
        names |= {column.name for column in computed if all(given.name in names for given in column.inputs)}
        reports = [bad_rows.report(), *(t.report(rows.partners(n), rows.total) for n, t in enumerate(tables))]
        if both:
            reports.append(f"Files of --log that are also in --input, whose rows are counted once: {both}.")
        if apart and filled:
            known_in_both = {*(cells.remembered if cells is not None else ()), *looked_up} & names
            reports.append(_in_both(rows, columns=sorted(known_in_both)))
        shown = ", ".join(map(str, files[:3])) + (f" and {len(files) - 3} more files" if len(files) > 3 else "")
        yield TableInput(
            schema=schema,
            present=frozenset(names & {column.name for column in schema.columns}),
            examples=int(rows.value(f"SELECT count(*) FROM {rows.relation} WHERE {good}")),  # noqa: S608 (a constant)
            reports=tuple(filter(None, reports)),
            rows=rows,
            title=shown,
        )


def _opened(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], *, reading: TableReading, directory: Path
) -> TableFiles:
    directory.mkdir()
    return TableFiles(connection, files, dialect=reading.dialect, directory=directory)


def _in_both(rows: StagedRows, *, columns: Sequence[str]) -> str:
    """A warning if rows of the input are rows of the log as well, judging by columns; empty if none are."""
    good, time = by_source(rows), rows.stored_as(str(rows.schema.time))
    # A row without a time is in no history.
    terms = [f"own.{time} = theirs.{time}"]
    terms += [f"own.{name} IS NOT DISTINCT FROM theirs.{name}" for name in map(rows.stored_as, columns)]
    same = " AND ".join(terms)
    own, theirs = (f"(SELECT * FROM {ROWS} WHERE {good[name]})" for name in (_SOURCE, _LOG))  # noqa: S608 (constants)
    equal = int(rows.value(f"SELECT count(*) FROM {own} AS own SEMI JOIN {theirs} AS theirs ON {same}"))  # noqa: S608
    if not equal:
        return ""
    return (
        f"{equal:,} rows of --input have the same {', '.join(columns)} as a row of --log. If they are the same events, "
        "later rows count them twice: leave them out of --log."
    )


def _check_there(names: Collection[str], *, carried: Collection[str], filled: Collection[str], source: str) -> None:
    absent = [name for name in carried if name not in names]
    if absent:
        raise ValueError(f"--columns: {source} has no column {absent[0]!r}. It has: {', '.join(sorted(names))}.")
    lacking = sorted(set(filled) - set(names))
    if lacking:
        raise ValueError(
            f"{source} lacks {', '.join(lacking)}, which come from earlier rows: name their tables with --log."
        )


def _dense(values: Any, column: Column) -> tf.Tensor:
    if isinstance(values, Ragged):
        splits = np.concatenate([[0], np.cumsum(values.lengths, dtype=np.int64)])
        flat = tf.constant(values.values, _DTYPES[column.dtype])
        return padded_last(flat, tf.constant(splits), length=column.length, missing=column.missing)
    return tf.constant(values, _DTYPES[column.dtype])
