"""Writes column batches as records."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.data.files.write_aside import file_aside, written_aside
from fullrank.data.records.encode_block import BLOCK_ROWS, encode_block
from fullrank.data.records.encode_examples import encode_examples
from fullrank.data.records.frames import shard_name
from fullrank.data.records.packing import Packing
from fullrank.data.schema.json import FILE_NAME, write_schema
from fullrank.data.schema.ragged import Columns, Ragged, take_rows
from fullrank.data.schema.schema import Schema, Shard, Split
from fullrank.data.schema.value_rules import aligned_columns, value_rules, violations
from fullrank.data.schema.vocabulary import write_vocabulary


def check_columns(columns: Columns, *, schema: Schema) -> int:
    """Checks that a column batch has the columns of a schema, and only permitted values.

    Returns:
      Its number of rows.

    Raises:
      ValueError: If a column is missing, unknown, of another dtype or shape, or holds a forbidden value; the message
        names it.
    """
    wanted = {column.name: column for column in schema.columns}
    unknown = sorted(set(columns) - set(wanted))
    absent = sorted(set(wanted) - set(columns))
    if unknown or absent:
        raise ValueError(
            f"A column batch needs exactly the columns of schema {schema.name!r}. "
            f"Missing: {', '.join(absent) or 'none'}. Unknown: {', '.join(unknown) or 'none'}."
        )
    counts = {}
    for name, column in wanted.items():
        data = columns[name]
        values = data.values if isinstance(data, Ragged) else data
        shape = (None,) if column.form == "one" else (None, column.length)
        form = "many" if isinstance(data, Ragged) else "one or fixed"
        if isinstance(data, Ragged) != (column.form == "many") or (
            not isinstance(data, Ragged) and (values.ndim != len(shape) or values.shape[1:] != shape[1:])
        ):
            raise ValueError(
                f"Column {name!r} is {column.form} of length {column.length}. Received: {form} of shape {values.shape}."
            )
        if values.dtype != column.numpy_dtype:
            raise ValueError(f"Column {name!r} has dtype {column.numpy_dtype}. Received: {values.dtype}.")
        if isinstance(data, Ragged) and int(data.lengths.sum()) != len(values):
            raise ValueError(f"Column {name!r}: lengths add up to {int(data.lengths.sum())}, not {len(values)} values.")
        counts[name] = data.rows if isinstance(data, Ragged) else len(data)
    if len(set(counts.values())) > 1:
        raise ValueError(f"Columns of one batch differ in their number of rows. Received: {counts}.")
    wrong = next(violations(columns, value_rules(schema), aligned=aligned_columns(schema)), None)
    if wrong is not None:
        raise ValueError(f"Column {wrong.column!r}, row {wrong.row}: {wrong.reason}. Received: {wrong.received}.")
    return next(iter(counts.values()))


class RecordWriter:
    """Writes one shard, in the schema's layout and compression; several processes may write one shard each.

    Example:
      with RecordWriter("records", schema=schema, split="train") as writer:
          writer.write({"item": np.array([3, 5]), "click": np.array([0, 1], np.float32)})
      shard = writer.shard
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        schema: Schema,
        split: str,
        shard: int = 0,
        shards: int = 1,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        """Opens the shard.

        Args:
          directory: An existing directory, which also holds `schema.json` in the end.
          schema: The columns; its layout and compression say how to write them.
          split: Name of the split.
          shard: Number of this shard, from 0.
          shards: How many there will be.
          block_rows: Rows of a record in the block layout.
        """
        self._schema = schema
        self._packing = Packing(schema.columns)
        self._block_rows = block_rows
        self._file = shard_name(split=split, shard=shard, shards=shards, compression=schema.compression)
        self._aside = contextlib.ExitStack()
        self._path = self._aside.enter_context(file_aside(Path(directory) / self._file, alone=True))
        self._writer = tf.io.TFRecordWriter(str(self._path), options=schema.compression or None)
        self._waiting: list[Columns] = []
        self._waiting_rows = 0
        self._examples = 0
        self._size: int | None = None

    @property
    def shard(self) -> Shard:
        """The file, its examples and, once it is closed, its size."""
        return Shard(file=self._file, examples=self._examples, size=self._size)

    def write(self, columns: Columns) -> None:
        """Adds rows.

        Args:
          columns: A column batch with every column of the schema.

        Raises:
          ValueError: If it does not have the columns of the schema, or holds a forbidden value.
        """
        rows = check_columns(columns, schema=self._schema)
        self._examples += rows
        if self._schema.layout == "example":
            for record in encode_examples(columns, schema_columns=self._schema.columns):
                self._writer.write(record)
            return
        start = 0
        while start < rows:
            end = min(rows, start + self._block_rows - self._waiting_rows)
            self._waiting.append(take_rows(columns, np.arange(start, end)))
            self._waiting_rows += end - start
            start = end
            if self._waiting_rows == self._block_rows:
                self._write_block()

    def close(self) -> None:
        """Writes the remaining rows and gives the file its name."""
        if self._waiting_rows:
            self._write_block()
        self._writer.close()
        self._size = self._path.stat().st_size
        self._aside.close()

    def _write_block(self) -> None:
        self._writer.write(encode_block(concatenated(self._waiting), packing=self._packing))
        self._waiting, self._waiting_rows = [], 0

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()
            self._aside.__exit__(kind, error, traceback)


def concatenated(batches: list[Columns]) -> Columns:
    """Concatenates column batches."""
    if len(batches) == 1:
        return batches[0]
    joined: dict[str, npt.NDArray[Any] | Ragged] = {}
    for name, first in batches[0].items():
        parts = [batch[name] for batch in batches]
        if isinstance(first, Ragged):
            joined[name] = Ragged(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        else:
            joined[name] = np.concatenate(parts)
    return joined


def write_records(
    directory: str | Path,
    *,
    schema: Schema,
    splits: Mapping[str, Columns],
    vocabularies: Mapping[str, Iterable[int | bytes]] | None = None,
    shards: int = 1,
    block_rows: int = BLOCK_ROWS,
) -> Schema:
    """Writes a data set that fits in memory, whole or not at all.

    Args:
      directory: A directory that does not exist yet or is empty.
      schema: Its features and labels; splits are filled in.
      splits: Split name -> column batch.
      vocabularies: Sparse feature -> known ids, most frequent first.
      shards: Files per split; rows are dealt to them in contiguous runs.
      block_rows: Rows of a record in the block layout.

    Returns:
      The schema as written, with its directory.

    Raises:
      FileExistsError: If the directory is not empty.
      ValueError: If a column batch does not fit the schema.
    """
    with written_aside(Path(directory), overwrite=False, made_of=FILE_NAME) as aside:
        written = []
        for split, columns in splits.items():
            rows = check_columns(columns, schema=schema)
            parts = []
            for shard in range(shards):
                chosen = np.arange(rows * shard // shards, rows * (shard + 1) // shards)
                with RecordWriter(
                    aside, schema=schema, split=split, shard=shard, shards=shards, block_rows=block_rows
                ) as writer:
                    writer.write(take_rows(columns, chosen))
                parts.append(writer.shard)
            written.append(Split(name=split, shards=tuple(parts)))
        for feature, ids in (vocabularies or {}).items():
            write_vocabulary(ids, directory=aside, feature=feature)
        result = dataclasses.replace(schema, splits=tuple(written), directory=Path(directory))
        write_schema(result, aside)
    return result
