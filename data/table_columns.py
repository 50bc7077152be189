"""From a table's rows to the columns of a schema: types, missing values, lists, and every check on a cell.

Pure functions of rows and schema, so that a converter on one machine and a Beam `DoFn` on many do exactly the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.bits import bit_rows
from fullrank.data.cells import Parsed, WrongTypeError, floats, integers, is_text, texts, times
from fullrank.data.columns import Column
from fullrank.data.encode_examples import encode_examples
from fullrank.data.features import Bits, Sequence, Sparse
from fullrank.data.lists import LIST_DELIMITER, flattened, is_list, plain
from fullrank.data.ragged import Ragged
from fullrank.data.schema import Schema
from fullrank.data.suggest import closest

FILE_COLUMN: Final = "fullrank.file"
ROW_COLUMN: Final = "fullrank.row"
"""Columns in which `TableReader` says where a row came from; without them an error counts rows within the batch."""

_SHOWN: Final = 40


class BadCell(NamedTuple):
    """A cell that cannot be converted: its row in the batch (from 0) and one line about it."""

    row: int
    message: str


class Converted(NamedTuple):
    """A column batch, and the cells in it that hold nothing meaningful because they could not be converted."""

    columns: dict[str, npt.NDArray[Any] | Ragged]
    bad: list[BadCell]


def to_columns(
    batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str = LIST_DELIMITER
) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Converts rows of a table to a column batch.

    * An empty cell, a null and, in a column of numbers, `NA`, `nan` and `null` are missing.
    * A list is a real list, text split at `list_delimiter`, or text in brackets; `many` columns keep the last values.
    * A time is a number in the schema's `time_unit`, a timestamp, or ISO 8601 text (UTC unless it says otherwise).
    * Bits are a list of 0 and 1, text such as `0101`, or hexadecimal text.

    Args:
      batch: Rows with at least the columns of the schema; others are ignored.
      schema: What to convert to.
      list_delimiter: What separates the values of a list in text.

    Returns:
      Column name -> `[n]`, `[n, length]` or `Ragged`, for every column of the schema.

    Raises:
      ValueError: If a column is not there, or a cell cannot be converted; the message names file, row and column.
    """
    columns, bad = convert_rows(batch, schema, list_delimiter=list_delimiter)
    if bad:
        raise ValueError(bad[0].message)
    return columns


def row_to_record(row: Mapping[str, Any], schema: Schema, *, list_delimiter: str = LIST_DELIMITER) -> bytes:
    """Converts one row to a serialized `tf.train.Example`, as `to_columns` would; usable as it is in a Beam `DoFn`.

    Args:
      row: Column name -> value or list of values; a missing one is `None`, and may not be left out.
      schema: What to convert to.
      list_delimiter: What separates the values of a list in text.

    Raises:
      ValueError: If a column is not there or its value cannot be converted.
    """
    wanted = {column.name for column in schema.columns}
    batch = pa.RecordBatch.from_pydict({name: [value] for name, value in row.items() if name in wanted})
    columns = to_columns(batch, schema, list_delimiter=list_delimiter)
    return encode_examples(columns, schema_columns=schema.columns)[0]


def convert_rows(batch: pa.RecordBatch, schema: Schema, *, list_delimiter: str = LIST_DELIMITER) -> Converted:
    """Like `to_columns`, but returns bad cells, in the order of rows, where that raises."""
    conversion = _Conversion(batch, schema, list_delimiter)
    columns = {column.name: conversion.column(column) for column in schema.columns}
    conversion.check_values(columns)
    conversion.check_alignment(columns)
    last = {
        column.name: data.last(column.length)
        for column in schema.columns
        if isinstance(data := columns[column.name], Ragged)
    }
    return Converted({**columns, **last}, sorted(conversion.bad, key=lambda cell: cell.row))


class _Conversion:
    """One batch on its way; `bad` collects what is wrong with it."""

    def __init__(self, batch: pa.RecordBatch, schema: Schema, list_delimiter: str) -> None:
        self.bad: list[BadCell] = []
        self._batch = batch
        self._schema = schema
        self._delimiter = list_delimiter
        self._labels = {label.name: label for label in schema.labels}
        self._times = {schema.time, *(f.times for f in schema.features if isinstance(f, Sequence))}
        self._bits = {f.name for f in schema.features if isinstance(f, Bits)}
        check_names(batch.schema.names, schema)

    def column(self, column: Column) -> npt.NDArray[Any] | Ragged:
        cells = plain(self._batch.column(column.name))
        try:
            if column.name in self._bits and is_text(cells.type):
                return self._bit_text(column, cells)
            if column.form == "one":
                if is_list(cells.type):
                    raise WrongTypeError(f"holds lists ({cells.type})")
                parsed = self._parse(column, cells)
                self._report(column, cells, parsed.bad, parsed.bad, parsed.reason)
                return parsed.values
            return self._many(column, cells)
        except WrongTypeError as error:
            where = f"{self._source()}column {column.name!r}"
            raise WrongTypeError(
                f"{where} {error}, but the schema declares {_described(column)}. Change its feature in the schema, "
                "or the column."
            ) from None

    def _many(self, column: Column, cells: pa.Array) -> npt.NDArray[Any] | Ragged:
        flat, lengths = flattened(cells, delimiter=self._delimiter)
        if is_list(flat.type):
            raise WrongTypeError(f"holds lists of lists ({cells.type})")
        parsed = self._parse(column, flat)
        ends = np.cumsum(lengths, dtype=np.int64)
        self._report(column, flat, parsed.bad, np.searchsorted(ends, parsed.bad, side="right"), parsed.reason)
        if column.form == "many":
            return Ragged(parsed.values, lengths)
        return self._fixed(column, parsed.values, lengths)

    def _fixed(self, column: Column, values: npt.NDArray[Any], lengths: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        whole = lengths == column.length
        for row in np.flatnonzero(~whole & (lengths != 0)).tolist():
            self._add(row, column.name, f"has {lengths[row]} values where the schema says {column.length}")
        fixed = np.full((len(lengths), column.length), column.missing, column.numpy_dtype)
        fixed[whole] = values[np.repeat(whole, lengths)].reshape(-1, column.length)
        missing = np.isnan(fixed) if fixed.dtype.kind == "f" else fixed == column.missing
        for row in np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1)).tolist():
            position = int(np.flatnonzero(missing[row])[0])
            self._add(row, column.name, f"has no value at position {position}; give all {column.length} or none")
        return fixed

    def _bit_text(self, column: Column, cells: pa.Array) -> npt.NDArray[Any]:
        parsed = bit_rows(cells, length=column.length, delimiter=self._delimiter)
        self._report(column, cells, parsed.bad, parsed.bad, parsed.reason)
        return parsed.values

    def _parse(self, column: Column, cells: pa.Array) -> Parsed:
        if column.name in self._times:
            return times(cells, unit=self._schema.time_unit)
        if column.dtype == "int64":
            return integers(cells)
        if column.dtype == "bytes":
            return texts(cells)
        missing = column.missing
        assert isinstance(missing, float)  # noqa: S101 - of a float column
        return floats(cells, missing=missing, booleans=column.name in self._labels)

    def check_values(self, columns: Mapping[str, npt.NDArray[Any] | Ragged]) -> None:
        """Binary labels are 0 or 1, sample weights are there and not negative, bits are 0 or 1."""
        failed = {cell.row for cell in self.bad}
        for label in self._labels.values():
            values = columns[label.name]
            if label.type == "binary":
                wrong = np.flatnonzero(~(np.isnan(values) | (values == 0) | (values == 1)))
                self._refuse(label.name, wrong, failed, "is not a label: use 0 or 1, or leave it empty if unobserved")
        if self._schema.weight is not None:
            wrong = np.flatnonzero(~(np.asarray(columns[self._schema.weight]) >= 0))
            self._refuse(self._schema.weight, wrong, failed, "is not a sample weight: use a number of at least 0")
        for name in sorted(self._bits):
            wrong = np.flatnonzero(
                (np.asarray(columns[name]) < -1).any(axis=1) | (np.asarray(columns[name]) > 1).any(axis=1)
            )
            self._refuse(name, wrong, failed, "holds a bit that is neither 0 nor 1")

    def check_alignment(self, columns: Mapping[str, npt.NDArray[Any] | Ragged]) -> None:
        """Columns that describe the same list have the same number of values on every row."""
        for feature in self._schema.features:
            if isinstance(feature, Sequence) or (isinstance(feature, Sparse) and feature.weights is not None):
                first, *others = self._schema.feature_columns(feature)
                expected = columns[first.name]
                if isinstance(expected, Ragged):
                    for other in others:
                        self._check_lengths(first.name, expected, other.name, columns[other.name])

    def _check_lengths(self, first: str, expected: Ragged, other: str, received: npt.NDArray[Any] | Ragged) -> None:
        assert isinstance(received, Ragged)  # noqa: S101 - columns of one feature have one form
        for row in np.flatnonzero(expected.lengths != received.lengths).tolist():
            self._add(
                row, other, f"has {received.lengths[row]} values where column {first!r} has {expected.lengths[row]}"
            )

    def _refuse(self, name: str, rows: npt.NDArray[Any], failed: set[int], reason: str) -> None:
        cells = self._batch.column(name)
        for row in rows.tolist():
            if row not in failed:
                self._add(row, name, f"{shown(cells[row].as_py())} {reason}")

    def _report(
        self, column: Column, cells: pa.Array, bad: npt.NDArray[Any], rows: npt.NDArray[Any], reason: str
    ) -> None:
        for position, row in zip(bad.tolist(), rows.tolist(), strict=True):
            self._add(row, column.name, f"{shown(cells[position].as_py())} {reason}")

    def _add(self, row: int, column: str, problem: str) -> None:
        self.bad.append(BadCell(row, f"{self._source(row)}column {column!r}: {problem}."))

    def _source(self, row: int | None = None) -> str:
        if FILE_COLUMN not in self._batch.schema.names:
            return "" if row is None else f"row {row} of the batch, counted from 0, "
        file = self._batch.column(FILE_COLUMN)[row or 0].as_py() if self._batch.num_rows else "input"
        return f"{file}: " if row is None else f"{file}, row {self._batch.column(ROW_COLUMN)[row].as_py()}, "


def check_names(names: list[str], schema: Schema, *, source: str = "The input") -> None:
    """Refuses a table that lacks columns of the schema, or has one of them twice.

    Raises:
      ValueError: Naming the columns, and those in the table that have similar names.
    """
    absent = [column.name for column in schema.columns if column.name not in names]
    if absent:
        own = [name for name in names if name not in (FILE_COLUMN, ROW_COLUMN)]
        hints = "; ".join(
            f"{name!r}" + (f", did you mean {near!r}?" if (near := closest(name, own)) else "") for name in absent
        )
        known = ", ".join(own[:30]) + (", ..." if len(own) > 30 else "")
        raise ValueError(
            f"{source} has no column {hints}{'' if hints.endswith('?') else '.'} It has: {known or 'none'}."
        )
    twice = [column.name for column in schema.columns if names.count(column.name) > 1]
    if twice:
        raise ValueError(f"{source} has column {twice[0]!r} more than once.")


def _described(column: Column) -> str:
    if column.form == "one":
        return f"one {column.dtype} value"
    return f"a list of {column.dtype}" + (f" of length {column.length}" if column.form == "fixed" else "")


def shown(value: object) -> str:
    """A cell as a message shows it: quoted, on one line, not too long."""
    text = "an empty cell" if value is None else repr(value)
    if isinstance(value, bytes):
        try:
            text = repr(value.decode())
        except UnicodeDecodeError:
            text = repr(value)[1:]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
