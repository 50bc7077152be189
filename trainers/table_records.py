"""Rows of tables as records of a run's columns, for a command that scores them; they are deleted at its end."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Literal, Protocol

from fullrank.data.bad_rows import BadRows
from fullrank.data.build import Building, Sources
from fullrank.data.features import Key
from fullrank.data.find_files import find_files
from fullrank.data.history_rows import add_histories, history_columns
from fullrank.data.schema import Schema
from fullrank.data.scratch import temporary_directory
from fullrank.data.split_rows import by_source
from fullrank.data.table_files import TableFiles
from fullrank.data.table_flags import make_dialect
from fullrank.trainers.record_files import FILES


class TableConfig(Protocol):
    """The part of a configuration that says how tables are read."""

    @property
    def on_bad_record(self) -> Literal["fail", "skip"]:
        """`fail` or `skip`."""

    @property
    def max_bad_fraction(self) -> float:
        """Largest share of rows that may be skipped."""

    @property
    def log(self) -> str | None:
        """Tables of earlier rows, from which histories are taken."""

    @property
    def separator(self) -> str | None:
        """Of CSV."""

    @property
    def header(self) -> tuple[str, ...]:
        """Names of CSV columns, where files have no line of names."""

    @property
    def quote(self) -> str:
        """Of CSV."""

    @property
    def encoding(self) -> str:
        """Of text."""


@contextlib.contextmanager
def tables_as_records(
    pattern: str, *, trained: Schema, config: TableConfig, labels: bool, carried: tuple[str, ...] = ()
) -> Iterator[Schema]:
    """Gives a schema whose one split is the rows of tables, in their order, in records that last as long as the block.

    Cells are read as `fullrank.data.convert` reads them, so that a row has the scores that its record has.

    Args:
      pattern: The tables.
      trained: Schema of the run.
      config: How they are read.
      labels: Whether the labels must be there; otherwise every column but the inputs of the model may be absent.
      carried: Further columns, kept as text.

    Raises:
      ValueError: If a table cannot be read or lacks a column, or a row is bad and bad rows are not skipped.
    """
    paths = find_files(pattern)
    logs = find_files(config.log) if config.log is not None else ()
    dialect = make_dialect(
        separator=config.separator, header=config.header, quote=config.quote, encoding=config.encoding, comment=None
    )
    own = [column.name for column in trained.columns]
    keys = tuple(Key(name=name, dtype="bytes") for name in dict.fromkeys(carried) if name not in own)
    schema = dataclasses.replace(trained, keys=(*trained.keys, *keys), layout="block", compression="")
    needed = {column.name for column in trained.input_columns} - set(history_columns(schema))
    if labels:
        needed |= {label.name for label in trained.labels}
    bad_rows = BadRows(on_bad_record=config.on_bad_record, max_fraction=config.max_bad_fraction)
    sources = Sources(bad_rows=bad_rows, optional=frozenset({*own, *carried}) - needed, readable=[*paths, *logs])
    with temporary_directory("scored") as directory:
        building = Building(schema=schema, workers=1, progress=False)
        with building.into(directory / "records", overwrite=False, sources=sources) as builder:
            (builder.scratch / "log").mkdir()
            files = TableFiles(builder.rows.connection, paths, dialect=dialect, directory=builder.scratch)
            filled = set(history_columns(schema))
            if not filled <= set(files.names) and config.log is None:
                raise ValueError(
                    f"--input={pattern} lacks {', '.join(sorted(filled - set(files.names)))}, which come from earlier "
                    "rows: name the log by --log."
                )
            absent = [name for name in carried if name not in own and name not in files.names]
            if absent:
                raise ValueError(f"--columns: {paths[0]} has no column {absent[0]!r}.")
            if config.log is not None:
                earlier = TableFiles(builder.rows.connection, logs, dialect=dialect, directory=builder.scratch / "log")
                builder.rows.add_files("log", earlier)
            builder.rows.add_files(FILES, files)
            if config.log is not None:
                add_histories(builder.rows)
            written = builder.write_rows({FILES: by_source(builder.rows)[FILES]})
        if bad_rows.report():
            print(bad_rows.report(), file=sys.stderr)
        yield written
