"""Reads vectors of items, with their ids, from `.npy` or Parquet files, in pieces of bounded size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fullrank.data.files.printable import closest
from fullrank.data.tables.arrow_columns import is_list, is_text, list_lengths, plain
from fullrank.data.tables.naming_errors import naming_errors

_PIECE: Final = 1 << 22
"""Numbers read at a time: 32 MB as float64."""
_FIRST_ROWS: Final = 1_024


@dataclasses.dataclass(frozen=True)
class VectorFile:
    """Vectors of one file.

    Attributes:
      ids: One per vector, each once: Arrow integers or text.
      id_column: Their name.
      dimension: D.
      pieces: Starts a pass over the vectors: `[n, D]` of real numbers, piece by piece; NaN for a missing vector.
    """

    ids: pa.Array
    id_column: str
    dimension: int
    pieces: Callable[[], Iterator[npt.NDArray[Any]]]


def read_npy_vectors(file: Path, *, ids: Path | None = None, id_column: str = "item_id") -> VectorFile:
    """Opens an array `[n, D]`, which stays on disk, and a second one of n ids; by default ids are row numbers from 0.

    Raises:
      ValueError: If a file is damaged or holds something else, or an id occurs twice.
    """
    vectors = _open_npy(file)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or vectors.dtype.itemsize > 8:
        raise ValueError(
            f"{file}: vectors are a matrix [n, D] of floats or integers. Received: {vectors.dtype} of shape "
            f"{list(vectors.shape)}."
        )
    if not vectors.size:
        raise ValueError(f"{file} does not hold a vector: its shape is {list(vectors.shape)}.")
    known = pa.array(np.arange(len(vectors))) if ids is None else _npy_ids(ids)
    if len(known) != len(vectors):
        raise ValueError(f"{ids} holds {len(known):,} ids, but {file} holds {len(vectors):,} vectors.")
    rows = max(1, _PIECE // vectors.shape[1])

    def pieces() -> Iterator[npt.NDArray[Any]]:
        for start in range(0, len(vectors), rows):
            yield vectors[start : start + rows]

    check_unique(known, source=f"{ids}")
    return VectorFile(ids=known, id_column=id_column, dimension=vectors.shape[1], pieces=pieces)


def read_parquet_vectors(file: Path, *, id_column: str | None = None, vector_column: str | None = None) -> VectorFile:
    """Opens a table with a column of ids and one of lists of equal length; a null or empty list is a missing vector.

    Args:
      file: To read.
      id_column: May be left out if only one column holds no lists.
      vector_column: May be left out if only one column holds lists.

    Raises:
      ValueError: If it cannot be read, a column is not what it should be, or an id occurs twice.
    """
    with naming_errors(file):
        schema = pq.read_schema(file)
        listed = [field.name for field in schema if is_list(field.type)]
        others = [field.name for field in schema if not is_list(field.type)]
        vector = _column(vector_column, listed, schema.names, flag="vector_column", file=file, holding="lists")
        key = _column(id_column, others, schema.names, flag="id_column", file=file, holding="ids")
        ids = plain(pq.read_table(file, columns=[key])[key])
        _check_ids(ids, source=f"{file}, column {key!r}")
        if not len(ids):
            raise ValueError(f"{file} has no rows.")
        dimension = _dimension(file, vector)
    return VectorFile(
        ids=ids, id_column=key, dimension=dimension, pieces=lambda: _parquet_pieces(file, vector, dimension)
    )


def check_unique(ids: pa.Array, *, source: str) -> None:
    """Rejects ids that occur more than once.

    Raises:
      ValueError: Naming one, and how many there are.
    """
    if pc.count_distinct(ids, mode="all").as_py() == len(ids):
        return
    counted = pc.value_counts(ids)
    twice = counted.filter(pc.greater(counted.field("counts"), 1))
    example = twice[0].as_py()
    raise ValueError(
        f"{source}: {len(twice):,} ids occur more than once, {example['values']!r} {example['counts']} times."
    )


def _open_npy(file: Path) -> npt.NDArray[Any]:
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{file} is not an .npy file, or is cut off: {_line(error)}") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{file} is an .npz archive: save the one array by numpy.save.")
    return found


def _npy_ids(file: Path) -> pa.Array:
    ids = _open_npy(file)
    if ids.ndim != 1 or ids.dtype.kind not in "iuUS":
        raise ValueError(
            f"{file}: ids are a vector [n] of integers or text. Received: {ids.dtype} of shape {list(ids.shape)}."
        )
    return pa.array(np.asarray(ids))


def _column(given: str | None, candidates: list[str], names: list[str], *, flag: str, file: Path, holding: str) -> str:
    if given is not None:
        if given in names:
            return given
        near = closest(given, names)
        hint = f" Did you mean {near!r}?" if near else f" It has: {', '.join(names)}."
        raise ValueError(f"--{flag}={given}: {file} has no such column.{hint}")
    if len(candidates) != 1:
        found = f": {', '.join(candidates)}" if candidates else ""
        raise ValueError(f"{file} has {len(candidates)} columns of {holding}{found}; name one by --{flag}.")
    return candidates[0]


def _check_ids(ids: pa.Array, *, source: str) -> None:
    if not (pa.types.is_integer(ids.type) or is_text(ids.type)):
        raise ValueError(f"{source} holds {ids.type}, but ids are integers or text.")
    if ids.null_count:
        raise ValueError(f"{source} has no id on {ids.null_count:,} rows.")
    check_unique(ids, source=source)


def _dimension(file: Path, column: str) -> int:
    """The length of the first list that is not empty."""
    for cells in _lists(file, column, rows=_FIRST_ROWS):
        lengths = list_lengths(cells).to_numpy(zero_copy_only=False)
        if lengths.any():
            return int(lengths[lengths > 0][0])
    raise ValueError(f"{file}, column {column!r}: no row holds a vector.")


def _parquet_pieces(file: Path, column: str, dimension: int) -> Iterator[npt.NDArray[Any]]:
    first = 0
    with naming_errors(file):
        for cells in _lists(file, column, rows=max(1, _PIECE // dimension)):
            yield _matrix(cells, dimension, first=first, source=f"{file}, column {column!r}")
            first += len(cells)


def _lists(file: Path, column: str, *, rows: int) -> Iterator[pa.Array]:
    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches(batch_size=rows, columns=[column]):
            cells = plain(batch.column(0))
            if not is_list(cells.type):
                raise ValueError(f"{file}, column {column!r} holds {cells.type}, but a vector is a list of numbers.")
            yield cells


def _matrix(cells: pa.Array, dimension: int, *, first: int, source: str) -> npt.NDArray[Any]:
    flat, lengths = plain(cells.flatten()), list_lengths(cells).to_numpy(zero_copy_only=False)
    if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise ValueError(f"{source} holds {cells.type}, but a vector is a list of numbers.")
    wrong = np.flatnonzero((lengths != dimension) & (lengths != 0))
    if wrong.size:
        raise ValueError(
            f"{source}, row {first + wrong[0] + 1}: a vector of {lengths[wrong[0]]} numbers, where the first one has "
            f"{dimension}."
        )
    matrix = np.full((len(lengths), dimension), np.nan)
    numbers = pc.fill_null(pc.cast(flat, pa.float64(), safe=False), np.nan)
    matrix[lengths > 0] = numbers.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    return matrix


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
