"""Writes rows as one block, without TensorFlow; `block_layout` describes the format."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from fullrank.data.records.wire_format import (
    FIRST,
    LIST_TAG,
    Bytes,
    bytes_feature,
    example,
    field,
    list_feature,
    list_items,
    varint,
)
from fullrank.data.schema.columns import Column, Form
from fullrank.data.schema.ragged import Columns, Ragged

BLOCK_ROWS: Final = 1000
HEADER: Final = "fullrank.block"
_FORMAT: Final = 1
ROWS: Final = "rows"
MATRICES: Final = {"int64": "<i8", "float32": "<f4", "bytes": "O"}
_WIDEST: Final = 1 << 17
"""The most values of one type in a row, apart from columns of variable length, for which batches can still be cut."""


class BlockError(ValueError):
    """A record that is not a block, or a damaged one."""

    def __init__(self, reason: str, *, feature: str | None = None, received: str = "") -> None:
        """Keeps the reason separate from the value found."""
        super().__init__(reason)
        self.reason = reason
        self.feature = feature
        self.received = received


@dataclasses.dataclass(frozen=True)
class Packing:
    """The layout of columns in a block.

    Attributes:
      columns: Columns that were written, in order.
    """

    columns: tuple[Column, ...]

    def matrix(self, dtype: str) -> tuple[Column, ...]:
        """The columns side by side in the matrix of a dtype."""
        return tuple(column for column in self.columns if column.dtype == dtype and column.form != "many")

    def features(self) -> frozenset[str]:
        """The names of the features of a block."""
        many = (f"{part}:{column.name}" for column in self.many for part in ("values", "lengths"))
        return frozenset((HEADER, ROWS, *self.widths(), *many))

    @property
    def many(self) -> tuple[Column, ...]:
        """The columns of variable length."""
        return tuple(column for column in self.columns if column.form == "many")

    def widths(self) -> dict[str, int]:
        """The width of each matrix that is not empty."""
        widths = {dtype: sum(column.length for column in self.matrix(dtype)) for dtype in MATRICES}
        return {dtype: width for dtype, width in widths.items() if width}

    def offset(self, name: str) -> int:
        """Where a column begins in its matrix."""
        wanted = next(column for column in self.columns if column.name == name)
        offset = 0
        for column in self.matrix(wanted.dtype):
            if column.name == name:
                break
            offset += column.length
        return offset

    def header(self) -> bytes:
        """The bytes with which every block of these columns begins."""
        columns = [
            [column.name, column.dtype, column.form, column.length if column.form == "fixed" else 1]
            for column in self.columns
        ]
        return json.dumps({"format": _FORMAT, "columns": columns}, separators=(",", ":")).encode()

    @classmethod
    def from_header(cls, header: bytes) -> Packing:
        """Reads a header.

        Raises:
          BlockError: If the bytes are not a header.
        """
        try:
            value = json.loads(header)
            if value["format"] != _FORMAT:
                reason = f"a block of another format; this version of fullrank reads format {_FORMAT}"
                raise BlockError(reason, received=repr(value["format"]))
            columns = [_column(*listed) for listed in value["columns"]]
        except BlockError:
            raise
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            raise BlockError("damaged block: its header lists no columns") from error
        packing = cls(tuple(columns))
        packing._check(header)
        return packing

    def _check(self, header: bytes) -> None:
        if not self.columns or self.header() != header:
            raise BlockError("damaged block: its header is not as it was written")
        if len({column.name for column in self.columns}) < len(self.columns):
            raise BlockError("damaged block: its header lists a column twice")
        widest = max(self.widths().values(), default=0)
        if widest > _WIDEST:
            raise BlockError(f"a block of more than {_WIDEST} values of one type per row", received=str(widest))

    def lacks(self, columns: Iterable[Column]) -> tuple[Column, str] | None:
        """The first wanted column that was written differently or not at all, and what was written instead."""
        written = {column.name: column for column in self.columns}
        for column in columns:
            known = written.get(column.name)
            if known is None:
                return column, f"columns {', '.join(written)}"
            fixed = column.form == "fixed" and column.length != known.length
            if (known.dtype, known.form) != (column.dtype, column.form) or fixed:
                return column, f"{known.form} {known.dtype}" + (f" of length {known.length}" if fixed else "")
        return None


def _column(name: Any, dtype: Any, form: Any, length: Any) -> Column:
    """Reads one column of a header, which may hold anything."""
    if not (isinstance(name, str) and dtype in MATRICES and form in get_args(Form) and type(length) is int):
        raise BlockError("damaged block: its header lists an impossible column", received=repr(name))
    name.encode()
    return Column(name=name, dtype=dtype, form=form, length=length)


def encode_block(columns: Columns, *, packing: Packing) -> bytes:
    """Serializes rows as one block.

    Args:
      columns: A column batch of n >= 1 rows that has every column of `packing`.
      packing: The layout of the block.
    """
    (block,) = encode_blocks(columns, packing=packing, block_rows=sys.maxsize)
    return block


def encode_blocks(columns: Columns, *, packing: Packing, block_rows: int = BLOCK_ROWS) -> list[bytes]:
    """Serializes rows as blocks of `block_rows`; the last one has the remaining rows."""
    first = columns[packing.columns[0].name]
    rows = first.rows if isinstance(first, Ragged) else len(first)
    header = bytes_feature(packing.header())
    parts = dict(_parts(columns, packing, rows))
    blocks = []
    for start in range(0, rows, block_rows):
        end = min(rows, start + block_rows)
        features = {HEADER: header, ROWS: (field(LIST_TAG["int64"], field(FIRST, varint(end - start))),)}
        for name, (offsets, content, listed) in parts.items():
            piece = content[offsets[start] : offsets[end]]
            features[name] = list_feature(piece) if listed else bytes_feature(piece)
        blocks.append(example(features))
    return blocks


def _parts(
    columns: Columns, packing: Packing, rows: int
) -> Iterator[tuple[str, tuple[npt.NDArray[np.int64], Bytes, bool]]]:
    """For each feature, where each row begins, all bytes, and whether they are already a list of byte strings."""
    for dtype, width in packing.widths().items():
        if dtype == "bytes":
            single: list[Any] = []
            for column in packing.matrix(dtype):
                values: Any = columns[column.name]
                single += values.T if column.form == "fixed" else [values]
            yield dtype, (*list_items(*single), True)
        else:
            cells = [np.asarray(columns[column.name]).reshape(rows, column.length) for column in packing.matrix(dtype)]
            yield dtype, _raw(np.concatenate(cells, axis=1), MATRICES[dtype], np.arange(rows + 1) * width)
    for column in packing.many:
        data = columns[column.name]
        assert isinstance(data, Ragged)  # noqa: S101
        data = data.last(column.length)
        ends = np.concatenate(([0], np.cumsum(data.lengths, dtype=np.int64)))
        if column.dtype == "bytes":
            offsets, content = list_items(data.values)
            yield f"values:{column.name}", (offsets[ends], content, True)
        else:
            yield f"values:{column.name}", _raw(data.values, MATRICES[column.dtype], ends)
        yield f"lengths:{column.name}", _raw(data.lengths, "<i4", np.arange(rows + 1))


def _raw(
    values: npt.NDArray[Any], dtype: str, offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Bytes, bool]:
    stored = values.astype(dtype, copy=False)
    return offsets * stored.itemsize, stored.reshape(-1).view(np.uint8).data, False
