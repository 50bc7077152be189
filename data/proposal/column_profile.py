"""The profile of one column in a sample of a table: the kind of its values, how many differ, how many are missing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.files.printable import text_of
from fullrank.data.tables.arrow_columns import is_list, is_text, list_lengths, plain
from fullrank.data.tables.canonical import FLOATS, INTEGERS, MOMENTS, TEXTS, WrongTypeError, cell
from fullrank.data.tables.columns import LIST_DELIMITER
from fullrank.data.tables.database import in_memory
from fullrank.data.tables.list_cells import list_of_text

Kind = Literal["whole", "real", "text", "time", "bits", "none", "other"]

_LIST_SHARE: Final = 0.01
"""Share of texts with the delimiter above which a column holds lists."""
_EXAMPLES: Final = 3
_NARROWEST: Final = 3
"""Length from which lists of equal length may be padded."""
_AS: Final = ("integer", "number", "time", "text")
_LEADING_ZERO: Final = "regexp_matches(CAST(x AS VARCHAR), '^\\s*-?0[0-9]')"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """The profile of one column in the sample.

    Attributes:
      name: Name of the column.
      kind: `whole` numbers, `real` numbers, `text`, `time` (timestamps or ISO 8601 text), `bits` (text of 0 and 1),
        `none` (no values) or `other` (values that records cannot hold).
      listed: Whether rows hold lists.
      rows: Rows of the sample.
      missing: Share of rows without a value.
      values: The distinct values, as text, most frequent first.
      lengths: Number of values of each row; 0 or 1 if rows do not hold lists.
      minimum: Smallest finite number, `None` if there is none.
      maximum: Largest finite number.
      infinite: Whether a number is infinite.
      gaps: Whether a list has a missing value among others.
      padded: Whether lists are padded with 0 to one length; these zeros are then left out of everything here.
      falling: Whether lists hold numbers that never rise from one to the next, and mostly fall.
      codes: Position of each row's value in `values`, -1 if it is missing; empty if rows hold lists.
      numbers: `values` as numbers; empty if they are not numbers.
    """

    name: str
    kind: Kind
    listed: bool
    rows: int
    missing: float
    values: tuple[str, ...]
    lengths: npt.NDArray[np.int32]
    minimum: float | None = None
    maximum: float | None = None
    infinite: bool = False
    gaps: bool = False
    padded: bool = False
    falling: bool = False
    codes: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    numbers: npt.NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0, np.float64))

    @property
    def distinct(self) -> int:
        """Number of distinct values."""
        return len(self.values)

    @property
    def examples(self) -> tuple[str, ...]:
        """The most frequent values."""
        return self.values[:_EXAMPLES]

    @property
    def fixed_length(self) -> int | None:
        """The length of all lists that are not empty, or `None` if they differ."""
        present = self.lengths[self.lengths > 0]
        return int(present[0]) if len(present) and bool((present == present[0]).all()) else None


def profile_column(
    name: str, cells: pa.Array, *, list_delimiter: str = LIST_DELIMITER, missing: Sequence[str] = ()
) -> ColumnProfile:
    """Profiles the cells of one column.

    Args:
      name: Name of the column.
      cells: All sampled rows.
      list_delimiter: Separator of the values of a list in text.
      missing: Texts that mean "no value", in addition to the usual ones.
    """
    cells = plain(cells)
    listed = is_list(cells.type) or (is_text(cells.type) and _looks_listed(cells, list_delimiter))
    flat, lengths = _flattened(cells, list_delimiter) if listed else (cells, np.ones(len(cells), np.int32))
    values = _values_before_padding(flat, lengths) if listed else None
    if values is not None:
        flat, lengths = flat.filter(pa.array(values.ravel())), values.sum(axis=1, dtype=np.int32)
    if pa.types.is_null(flat.type) or pa.types.is_nested(flat.type):
        kind: Kind = "none" if pa.types.is_null(flat.type) else "other"
        share = 1.0 if kind == "none" else flat.null_count / max(len(flat), 1)
        return ColumnProfile(
            name=name, kind=kind, listed=listed, rows=len(cells), missing=share, values=(), lengths=lengths
        )
    encoded = flat.dictionary_encode()
    read = _read(encoded.dictionary, listed=listed, missing=missing)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    # Cells of one canonical form, such as 7 and 7.0, are one value.
    texts, first, same = np.unique(read.texts, return_index=True, return_inverse=True)
    present = codes >= 0
    present[present] = ~read.absent[codes[present]]
    codes = np.where(present, same[codes], -1) if len(texts) else np.full(len(codes), -1)
    counts = np.bincount(codes[present], minlength=len(texts))
    order = np.lexsort((first, -counts))[: int((counts > 0).sum())]
    rank = np.full(len(texts) + 1, -1)
    rank[order] = np.arange(len(order))
    lengths = lengths if listed else present.astype(np.int32)
    numbers = read.numbers[first[order]] if len(read.numbers) else read.numbers
    finite = numbers[np.isfinite(numbers)]
    return ColumnProfile(
        name=name,
        kind=read.kind if len(order) else "none",
        listed=listed,
        rows=len(cells),
        missing=float((lengths == 0).mean()) if len(lengths) else 1.0,
        values=tuple(texts[order].tolist()),
        lengths=lengths,
        minimum=float(finite.min()) if len(finite) else None,
        maximum=float(finite.max()) if len(finite) else None,
        infinite=len(finite) < len(numbers),
        gaps=listed and not bool(present.all()),
        padded=values is not None,
        falling=listed and bool(present.all()) and _falling(numbers[rank[codes]] if len(numbers) else numbers, lengths),
        codes=np.empty(0, np.int64) if listed else rank[codes],
        numbers=numbers.astype(np.float64),
    )


class _Read(NamedTuple):
    """Distinct cells as values: their kind, canonical text, which are missing, and numbers if they are numbers."""

    kind: Kind
    texts: npt.NDArray[Any]
    absent: npt.NDArray[np.bool_]
    numbers: npt.NDArray[Any]


def _read(distinct: pa.Array, *, listed: bool, missing: Sequence[str]) -> _Read:
    with in_memory() as connection:
        connection.register("given", pa.table({"x": distinct}))
        kind_of_cell = connection.sql("FROM given").types[0].id
        columns = []
        for kind in ("integer", "number", "time", "text"):
            try:
                cell_as = cell(kind, "x", kind_of_cell, missing=missing)
            except WrongTypeError:
                columns += [f"NULL AS {kind}", f"x IS NULL AS no_{kind}"]
            else:
                value = cell_as.value if kind != "number" else f"coalesce({cell_as.value}, {_infinite(kind_of_cell)})"
                columns += [f"{value} AS {kind}", f"coalesce({cell_as.absent}, TRUE) AS no_{kind}"]
        columns.append("CAST(x AS VARCHAR) AS shown")
        columns.append(f"{_LEADING_ZERO} AS zero, regexp_matches(CAST(x AS VARCHAR), '[.eE]') AS real")
        found = connection.sql(f"SELECT {', '.join(columns)} FROM given").to_arrow_table()
    values = {name: plain(found[name]) for name in found.column_names}
    return _decided(values, kind_of_cell, listed=listed)


def _decided(values: dict[str, pa.Array], kind_of_cell: str, *, listed: bool) -> _Read:
    """The distinct cells as values of one kind."""
    absent = {kind: _numpy(values[f"no_{kind}"]) & _numpy(pc.is_null(values[kind])) for kind in _AS}
    there = {kind: _numpy(pc.is_valid(values[kind])) for kind in _AS}
    every = {kind: bool((there[kind] | absent[kind]).all()) and bool(there[kind].any()) for kind in _AS}
    shown = _texts(values["shown"])
    text = _texts(pc.coalesce(_as_text(values["text"]), values["shown"]))
    none: npt.NDArray[Any] = np.empty(0)
    textual, given = kind_of_cell in TEXTS, shown[~absent["text"]].tolist()
    if kind_of_cell in ("struct", "map", "union"):
        return _Read("other", shown, absent["text"], none)
    if not listed and textual and given and all(len(g) == len(given[0]) >= 8 and set(g) <= {"0", "1"} for g in given):
        return _Read("bits", shown, absent["text"], none)
    # A leading zero is lost in a number: such values are codes.
    coded = textual and bool(_numpy(values["zero"]).any())
    if kind_of_cell not in MOMENTS and every["number"] and not coded:
        numbers = _numpy(pc.fill_null(pc.cast(values["number"], pa.float64()), math.nan))
        whole = np.trunc(numbers[there["number"]]) == numbers[there["number"]]
        spelled = kind_of_cell in FLOATS or (
            (textual or kind_of_cell == "decimal") and bool(_numpy(values["real"])[there["number"]].any())
        )
        if every["integer"] and (not spelled or bool(absent["number"].any()) or _gaps(kind_of_cell)):
            exact = pc.fill_null(pc.cast(values["integer"], pa.float64(), safe=False), math.nan)
            return _Read("whole", text, absent["integer"], _numpy(exact))
        beyond = bool(whole.all()) and not spelled and np.isfinite(numbers[there["number"]]).all()
        if not beyond:
            return _Read("real", shown, absent["number"], numbers)
    elif every["time"] and not coded and not every["number"]:
        times = _numpy(pc.fill_null(pc.cast(values["time"], pa.float64(), safe=False), math.nan))
        return _Read("time", shown, absent["time"], times)
    return _Read("text", text, absent["text"], none)


def _infinite(kind_of_cell: str) -> str:
    """The expression for infinite numbers, which `cell` cannot read."""
    if kind_of_cell not in TEXTS | FLOATS:
        return "NULL"
    number = "TRY_CAST(CAST(x AS VARCHAR) AS DOUBLE)"
    infinite = f"isinf({number}) OR (isfinite({number}) AND abs({number}) > 3.4e38)"
    return f"CASE WHEN {infinite} THEN CAST(sign({number}) * 'inf'::DOUBLE AS FLOAT) END"


def _gaps(kind_of_cell: str) -> bool:
    return kind_of_cell in INTEGERS or kind_of_cell == "boolean"


def _flattened(cells: pa.Array, delimiter: str) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    if is_text(cells.type):
        with in_memory() as connection:
            connection.register("given", pa.table({"x": cells}))
            x = "x" if connection.sql("FROM given").types[0].id == "varchar" else "TRY(decode(x))"
            query = f"SELECT {list_of_text(x, delimiter=delimiter)} AS l FROM given"
            cells = plain(connection.sql(query).to_arrow_table()["l"])
    return plain(cells.flatten()), list_lengths(cells).to_numpy(zero_copy_only=False)


def _values_before_padding(flat: pa.Array, lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
    """Whether each place of lists of ids `[rows, width]` is a value, if zeros pad them to one length; else `None`.

    Zeros are padding if they are at the end of every list that has any, or at the beginning, in runs of different
    lengths, and there are also values other than 1.
    """
    width = int(lengths[0]) if len(lengths) else 0
    if width < _NARROWEST or (lengths != width).any() or not (pa.types.is_integer(flat.type) or is_text(flat.type)):
        return None
    texts = pc.cast(flat, pa.large_binary() if pa.types.is_binary(flat.type) else pa.large_string())
    zero = pc.is_in(texts, pa.array(["0", "0.0"], texts.type)).to_numpy(zero_copy_only=False)
    if not zero.any() or pc.count_distinct(texts).as_py() <= 2:
        return None
    rows: npt.NDArray[np.bool_] = zero.reshape(-1, width)
    for ordered in (rows[:, ::-1], rows):
        run = np.logical_and.accumulate(ordered, axis=1)
        if (run == ordered).all() and len(np.unique(run.sum(axis=1))) > 2:
            return np.logical_not(rows)
    return None


def _falling(numbers: npt.NDArray[np.float64], lengths: npt.NDArray[np.int32]) -> bool:
    """Whether no number of a list is above the one before it, and more than half are below it."""
    if len(numbers) != lengths.sum():
        return False
    row = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.diff(numbers)[row[1:] == row[:-1]]
    return len(steps) > 0 and bool((steps <= 0).all()) and float((steps < 0).mean()) > 0.5


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_binary(values.type):
        return pa.array([None if value is None else text_of(value) for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())


def _texts(values: pa.Array) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = pc.fill_null(pc.cast(values, pa.string()), "").to_numpy(zero_copy_only=False)
    return found.astype(object)


def _numpy(values: pa.Array) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return found.astype(bool) if pa.types.is_boolean(values.type) else found


def _looks_listed(cells: pa.Array, delimiter: str) -> bool:
    texts = pc.cast(cells, pa.large_binary())
    texts = texts.filter(pc.fill_null(pc.greater(pc.binary_length(texts), 0), False))
    if not len(texts):
        return False
    bracketed = pc.and_(pc.starts_with(texts, b"["), pc.ends_with(texts, b"]"))
    if pc.all(bracketed).as_py():
        return True
    split = int(pc.sum(pc.match_substring(texts, delimiter.encode())).as_py())
    return split >= _LIST_SHARE * len(texts)
