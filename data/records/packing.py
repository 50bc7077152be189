"""How the columns of a block lie in it: in matrices by dtype, once per row or once per request."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable
from typing import Any, Final, get_args

from fullrank.data.schema.columns import Column, Form

HEADER: Final = "fullrank.block"
ROWS: Final = "rows"
SIZES: Final = "request:sizes"
"""The feature of a block with requests that holds the number of rows of each: int32 `[R]`."""
MATRICES: Final = {"int64": "<i8", "float32": "<f4", "bytes": "O"}
_OF_REQUESTS: Final = "request:"
_FLAT, _GROUPED = 1, 2
"""The formats of blocks without and with columns that are held once per request."""
_WIDEST: Final = 1 << 17
"""Largest number of values of one type per row, without columns of variable length, for which batches can be cut."""


class BlockError(ValueError):
    """A record that is not a block, or a damaged one."""

    def __init__(self, reason: str, *, feature: str | None = None, received: str = "") -> None:
        """Keeps the reason separate from the value found."""
        super().__init__(reason)
        self.reason = reason
        self.feature = feature
        self.received = received


@dataclasses.dataclass(frozen=True)
class Part:
    """The columns of a block that have equally many rows: those of its rows, or those of its requests.

    Attributes:
      of: What has the rows, as messages say it: `rows` or `requests`.
      prefix: How the names of their features begin.
      columns: The columns, in order.
    """

    of: str
    prefix: str
    columns: tuple[Column, ...]

    def matrix(self, dtype: str) -> tuple[Column, ...]:
        """The columns side by side in the matrix of a dtype."""
        return tuple(column for column in self.columns if column.dtype == dtype and column.form != "many")

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
        before = self.matrix(wanted.dtype)
        return sum(column.length for column in before[: before.index(wanted)])

    def features(self) -> frozenset[str]:
        """The names of the features that hold the columns."""
        matrices = (f"{self.prefix}{dtype}" for dtype in self.widths())
        many = (f"{self.prefix}{part}:{column.name}" for column in self.many for part in ("values", "lengths"))
        return frozenset((*matrices, *many))


@dataclasses.dataclass(frozen=True)
class Packing:
    """The layout of columns in a block.

    Attributes:
      columns: Columns that were written, in order.
      per_request: Names of those that are held once for all rows of a request; none in a block without requests.
    """

    columns: tuple[Column, ...]
    per_request: tuple[str, ...] = ()

    @functools.cached_property
    def rows(self) -> Part:
        """The columns that every row has for itself."""
        return Part("rows", "", tuple(column for column in self.columns if column.name not in self.per_request))

    @functools.cached_property
    def requests(self) -> Part | None:
        """The columns that the rows of a request have in common."""
        if not self.per_request:
            return None
        return Part(
            "requests", _OF_REQUESTS, tuple(column for column in self.columns if column.name in self.per_request)
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The part of the rows, then that of the requests, if there is one."""
        return (self.rows,) if self.requests is None else (self.rows, self.requests)

    def features(self) -> frozenset[str]:
        """The names of the features of a block."""
        own = (HEADER, ROWS) if self.requests is None else (HEADER, ROWS, SIZES)
        return frozenset(own).union(*(part.features() for part in self.parts))

    def header(self) -> bytes:
        """The bytes with which every block of these columns begins."""
        columns = [
            [column.name, column.dtype, column.form, column.length if column.form == "fixed" else 1]
            for column in self.columns
        ]
        value: dict[str, Any] = {"format": _GROUPED if self.per_request else _FLAT, "columns": columns}
        if self.per_request:
            value["per_request"] = list(self.per_request)
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def from_header(cls, header: bytes) -> Packing:
        """Reads a header.

        Raises:
          BlockError: If the bytes are not a header.
        """
        try:
            value = json.loads(header)
            if value["format"] not in (_FLAT, _GROUPED):
                reason = f"a block of another format; this version of fullrank reads formats {_FLAT} and {_GROUPED}"
                raise BlockError(reason, received=repr(value["format"]))
            columns = [_column(*listed) for listed in value["columns"]]
            names = value["per_request"] if value["format"] == _GROUPED else []
            packing = cls(tuple(columns), tuple(_name(name) for name in names))
        except BlockError:
            raise
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            raise BlockError("damaged block: its header lists no columns") from error
        packing._check(header)
        return packing

    def _check(self, header: bytes) -> None:
        if not self.columns or self.header() != header:
            raise BlockError("damaged block: its header is not as it was written")
        names = {column.name for column in self.columns}
        if len(names) < len(self.columns) or len(set(self.per_request)) < len(self.per_request):
            raise BlockError("damaged block: its header lists a column twice")
        if self.per_request and not set(self.per_request) < names:
            # A block of a few bytes could otherwise claim any number of rows.
            raise BlockError("damaged block: no column of its rows, or a column of its requests that is not listed")
        widest = max((width for part in self.parts for width in part.widths().values()), default=0)
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

    def divides(self, groups: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
        """The first group of columns of which some are held once per request and others once per row."""
        shared = set(self.per_request)
        return next((group for group in groups if 0 < len(shared.intersection(group)) < len(group)), None)


def _column(name: Any, dtype: Any, form: Any, length: Any) -> Column:
    """Reads one column of a header, which may hold anything."""
    if not (isinstance(name, str) and dtype in MATRICES and form in get_args(Form) and type(length) is int):
        raise BlockError("damaged block: its header lists an impossible column", received=repr(name))
    return Column(name=_name(name), dtype=dtype, form=form, length=length)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise BlockError("damaged block: its header lists an impossible column", received=repr(name))
    name.encode()
    return name
