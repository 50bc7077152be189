"""Rows of different lengths as two flat arrays: the form of a `many` column before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Ragged(NamedTuple):
    """A `many` column of n rows.

    Attributes:
      values: All values, row after row: `[sum(lengths)]`.
      lengths: How many of them each row has: int32 `[n]`.
    """

    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int32]

    @property
    def rows(self) -> int:
        """Number of rows n; `len` of a named tuple is 2."""
        return int(self.lengths.shape[0])

    @classmethod
    def from_lists(cls, rows: list[list[Any]], *, dtype: npt.DTypeLike) -> Ragged:
        """Flattens a list of lists; use dtype `object` for bytes."""
        values = np.array([value for row in rows for value in row], dtype=dtype)
        return cls(values, np.array([len(row) for row in rows], dtype=np.int32))

    def to_lists(self) -> list[list[Any]]:
        """The rows as lists of Python values."""
        ends = np.cumsum(self.lengths)
        return [self.values[end - length : end].tolist() for end, length in zip(ends, self.lengths, strict=True)]

    def take(self, rows: npt.NDArray[np.intp]) -> Ragged:
        """The given rows, in the given order."""
        lengths = self.lengths[rows]
        starts = (np.cumsum(self.lengths, dtype=np.int64) - self.lengths)[rows]
        return Ragged(self.values.take(_ranges(starts, lengths)), lengths)

    def last(self, length: int) -> Ragged:
        """The last `length` values of each row, which are the most recent ones of a sequence."""
        kept = np.minimum(self.lengths, np.int32(length))
        if np.array_equal(kept, self.lengths):
            return self
        ends = np.cumsum(self.lengths, dtype=np.int64)
        return Ragged(self.values.take(_ranges(ends - kept, kept)), kept)


Columns = Mapping[str, npt.NDArray[Any] | Ragged]
"""A column batch: column name -> `[n]` (`one`), `[n, length]` (`fixed`) or `Ragged` of n rows (`many`)."""


def taken(column: Any, rows: npt.NDArray[np.intp]) -> Any:
    """The given rows of a column, which is a NumPy array, a one-dimensional Arrow array or a `Ragged`."""
    return column[rows] if isinstance(column, np.ndarray) else column.take(rows)


def take_rows(columns: Columns, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[Any] | Ragged]:
    """The given rows of every column."""
    return {name: taken(column, rows) for name, column in columns.items()}


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Concatenates start, start + 1, ... of each row."""
    total = int(lengths.sum())
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    ranges: npt.NDArray[np.int64] = np.arange(total, dtype=np.int64) + np.repeat(starts - before, lengths)
    return ranges
