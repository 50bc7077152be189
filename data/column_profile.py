"""What a sample of a table shows of one column: the kind of its values, how many differ, how many are missing."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.cells import WrongTypeError, floats, integers, is_text, times
from fullrank.data.lists import flattened, is_list, plain

Kind = Literal["whole", "real", "text", "time", "bits", "none", "other"]

_LIST_SHARE: Final = 0.01
"""Share of texts that contain the delimiter from which on a column is one of lists."""
_EXAMPLES: Final = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """What the sample shows of one column.

    Attributes:
      name: Name of the column.
      kind: `whole` numbers, `real` numbers, `text`, `time` (timestamps or ISO 8601 text), `bits` (text of 0 and 1),
        `none` (no values) or `other` (what records cannot hold).
      listed: Whether rows hold lists.
      rows: Rows of the sample.
      missing: Share of rows without a value.
      values: The distinct values, as text, most frequent first.
      lengths: Values of each row; 0 or 1 where rows do not hold lists.
      minimum: Smallest finite number, `None` if there is none.
      maximum: Largest finite number.
      infinite: Whether a number is infinite.
      codes: Position of each row's value in `values`, -1 where it is missing; empty where rows hold lists.
      numbers: `values` as numbers; empty if they are none.
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


def profile_column(name: str, cells: pa.Array, *, list_delimiter: str) -> ColumnProfile:
    """Looks at the cells of one column.

    Args:
      name: Name of the column.
      cells: All sampled rows.
      list_delimiter: What separates the values of a list in text.
    """
    cells = plain(cells)
    listed = is_list(cells.type) or (is_text(cells.type) and _looks_listed(cells, list_delimiter))
    flat, lengths = flattened(cells, delimiter=list_delimiter) if listed else (cells, np.ones(len(cells), np.int32))
    if pa.types.is_null(flat.type) or pa.types.is_nested(flat.type):
        kind: Kind = "none" if pa.types.is_null(flat.type) else "other"
        missing = 1.0 if kind == "none" else flat.null_count / max(len(flat), 1)
        return ColumnProfile(
            name=name, kind=kind, listed=listed, rows=len(cells), missing=missing, values=(), lengths=lengths
        )
    encoded = flat.dictionary_encode()
    read = _read(encoded.dictionary, listed)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    present = codes >= 0
    present[present] = ~read.absent[codes[present]]
    counts = np.bincount(codes[present], minlength=len(encoded.dictionary))
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    rank = np.full(len(encoded.dictionary), -1)
    rank[order] = np.arange(len(order))
    lengths = lengths if listed else present.astype(np.int32)
    numbers = read.numbers[order] if len(read.numbers) else read.numbers
    finite = numbers[np.isfinite(numbers)]
    return ColumnProfile(
        name=name,
        kind=read.kind if len(order) else "none",
        listed=listed,
        rows=len(cells),
        missing=float((lengths == 0).mean()) if len(lengths) else 1.0,
        values=tuple(_text(value) for value in encoded.dictionary.take(pa.array(order)).to_pylist()),
        lengths=lengths,
        minimum=float(finite.min()) if len(finite) else None,
        maximum=float(finite.max()) if len(finite) else None,
        infinite=len(finite) < len(numbers),
        codes=np.empty(0, np.int64) if listed else np.where(present, rank[codes], -1),
        numbers=numbers.astype(np.float64),
    )


class _Read(NamedTuple):
    """Distinct values as what they are: their kind, which of them mean "no value", and the numbers, if they are any."""

    kind: Kind
    absent: npt.NDArray[np.bool_]
    numbers: npt.NDArray[Any]


def _read(distinct: pa.Array, listed: bool) -> _Read:
    if is_text(distinct.type):
        return _read_text(distinct, listed)
    none_absent = np.zeros(len(distinct), bool)
    if pa.types.is_timestamp(distinct.type) or pa.types.is_date(distinct.type):
        return _Read("time", none_absent, times(distinct, unit="s").values)
    try:
        numbers = floats(distinct).values.astype(np.float64)
    except WrongTypeError:
        return _Read("other", none_absent, np.empty(0))
    if pa.types.is_integer(distinct.type) or pa.types.is_boolean(distinct.type):
        return _Read("whole", none_absent, integers(distinct).values.astype(np.float64))
    return _Read(_whole_or_real(numbers, spelled_real=True), np.isnan(numbers), numbers)


def _read_text(distinct: pa.Array, listed: bool) -> _Read:
    texts = [_text(value).strip() for value in distinct.to_pylist()]
    empty = np.array([not text for text in texts], bool)
    given = [text for text in texts if text]
    if not listed and given and all(len(text) == len(given[0]) >= 8 and set(text) <= {"0", "1"} for text in given):
        return _Read("bits", empty, np.empty(0))
    # A leading zero is lost in a number: such values are codes.
    if not any(len(text) > 1 and text[0] == "0" and text[1].isdigit() for text in given):
        parsed = floats(distinct)
        if not parsed.bad[~np.isinf(parsed.values[parsed.bad])].size:
            numbers = parsed.values.astype(np.float64)
            spelled_real = any("." in text or "e" in text.lower() for text in given)
            kind = _whole_or_real(numbers, spelled_real=spelled_real)
            if kind == "whole":
                numbers = np.where(np.isnan(numbers), np.nan, integers(distinct).values)
            return _Read(kind, np.isnan(numbers), numbers)
        found = times(distinct, unit="s")
        if not found.bad.size:
            return _Read("time", empty, found.values.astype(np.float64))
    return _Read("text", empty, np.empty(0))


def _whole_or_real(numbers: npt.NDArray[Any], *, spelled_real: bool) -> Kind:
    """Whole numbers; also those written as 3.0, if that is because some are missing, as pandas does."""
    missing = np.isnan(numbers)
    whole = bool((np.trunc(numbers[~missing]) == numbers[~missing]).all()) and not np.isinf(numbers).any()
    return "whole" if whole and (not spelled_real or bool(missing.any())) else "real"


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


def _text(value: object) -> str:
    return value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)
