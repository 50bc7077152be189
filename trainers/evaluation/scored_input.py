"""The data to score as batches of a model: a split of a data set, record files, or tables."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, Protocol

import tensorflow as tf

from fullrank.data.command.errors import UsageError
from fullrank.data.files.find_files import find_files, holds_table
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.trainers.evaluation.record_files import FILES, schema_of_files
from fullrank.trainers.evaluation.table_input import TableInput, TableReading, open_tables
from fullrank.trainers.training.records import ReadingConfig, explained, read_split


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordInput:
    """A split of records; see `table_input.TableInput`, which has the same attributes.

    Attributes:
      schema: Schema of the records.
      split: Name of the split.
      title: Name of the input in messages.
    """

    schema: Schema
    split: str
    title: str
    reports: tuple[str, ...] = ()

    @property
    def present(self) -> frozenset[str]:
        """The columns that there are."""
        return frozenset(column.name for column in self.schema.columns)

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.schema.split(self.split).examples

    @contextlib.contextmanager
    def batches(self, config: ReadingConfig, *, cache: Path | None) -> Iterator[tf.data.Dataset]:
        """Yields the batches; within the context, errors say which record cannot be read.

        Args:
          config: Batch size, and how to treat bad records.
          cache: Where repaired copies of bad files are kept; `None` if bad records are not left out.
        """
        with explained(self.schema, splits=[self.split]):
            yield read_split(config, self.schema, split=self.split, cache=cache)


ScoredInput = RecordInput | TableInput


class InputConfig(Protocol):
    """The part of a configuration that describes the data to score."""

    @property
    def data(self) -> str | None:
        """Directory of records."""

    @property
    def split(self) -> str:
        """Split of it."""

    @property
    def input(self) -> str | None:
        """Files instead."""

    @property
    def log(self) -> str | None:
        """Tables of earlier rows."""

    @property
    def on_bad_record(self) -> Literal["fail", "skip"]:
        """`fail` or `skip`."""

    @property
    def max_bad_fraction(self) -> float:
        """Largest share that may be skipped."""


@contextlib.contextmanager
def open_input(
    config: InputConfig,
    *,
    schema: Schema,
    data: str | None,
    needed: Collection[str],
    carried: Collection[str] = (),
    reading: TableReading,
) -> Iterator[ScoredInput]:
    """Opens the data to score.

    Args:
      config: The configuration that names it.
      schema: Schema of the data that the model was trained on.
      data: Directory of records if the configuration names neither records nor files.
      needed: Columns that tables must have.
      carried: Further columns that tables must have.
      reading: How tables are read.

    Raises:
      UsageError: If bad records of files without a schema.json are to be left out.
      ValueError: If there is no such input, or it cannot be read.
    """
    if config.input is None:
        directory = config.data if config.data is not None else data
        if directory is None:
            raise UsageError("--export needs --input (tables or record files) or --data (a directory of records).")
        records = read_schema(directory)
        records.split(config.split)
        yield RecordInput(schema=records, split=config.split, title=f"the {config.split} split of {records.directory}")
    elif _names_tables(config.input):
        bad_rows = BadRows(on_bad_record=config.on_bad_record, max_fraction=config.max_bad_fraction)
        with (
            temporary_directory("rows") as scratch,
            open_tables(
                find_files(config.input),
                log=() if config.log is None else find_files(config.log),
                schema=schema,
                needed=needed,
                carried=carried,
                reading=reading,
                bad_rows=bad_rows,
                directory=scratch,
            ) as tables,
        ):
            yield tables
    else:
        if config.log is not None:
            raise UsageError(f"--log needs tables in --input, not record files. Received: --input={config.input}.")
        if config.on_bad_record == "skip":
            raise UsageError(
                "--on_bad_record=skip needs --data, whose schema.json says how many examples there are, or tables in "
                "--input."
            )
        files = schema_of_files(config.input, trained=schema)
        yield RecordInput(schema=files, split=FILES, title=config.input)


def _names_tables(pattern: str) -> bool:
    """Whether files are tables judging by their names, or by the pattern if it matches no file."""
    parts = [os.path.expanduser(part.strip()) for part in pattern.split(",")]
    names = [name for part in parts for name in (glob.glob(part, recursive=True) or [part])]
    return any(holds_table(Path(name)) for name in names)
