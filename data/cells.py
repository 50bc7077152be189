"""Turns Arrow values into the NumPy values of a column, and says which of them cannot be.

Every function takes a flat Arrow array and returns `Parsed`. Values that are legal as they are convert in one
vectorised step; only an array in which that fails is looked at value by value, and then each distinct value once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.columns import MISSING_BYTES, MISSING_INT

# What tools write into a column of numbers for "no value". In a column of text they are text: NA is also Namibia.
_MISSING_WORDS: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n"})
_TRUE_OR_FALSE: Final = {"true": 1, "false": 0}
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_INT64_END: Final = 2**63


class Parsed(NamedTuple):
    """Converted values, the positions of those that could not be, and what is wrong with them."""

    values: npt.NDArray[Any]
    bad: npt.NDArray[np.int64]
    reason: str = ""


class WrongTypeError(ValueError):
    """A column whose Arrow type cannot hold what the schema declares, whatever its values."""


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string or binary of any width."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def integers(cells: pa.Array) -> Parsed:
    """int64 values; -1 where missing. Text such as `7` or `7.0` and floats without a fraction are whole numbers."""
    kind = cells.type
    if pa.types.is_null(kind):
        return _good(np.full(len(cells), MISSING_INT, np.int64))
    if is_text(kind):
        return _from_text(cells, pa.int64(), _integer_of_text, MISSING_INT, "is not a 64-bit whole number")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _whole(_float64(cells))
    if pa.types.is_uint64(kind):
        too_large = pc.greater(cells, pa.scalar(_INT64_END - 1, pa.uint64()))
        bad = np.flatnonzero(_numpy(pc.fill_null(too_large, False)))
        cells = pc.if_else(too_large, pa.scalar(0, pa.uint64()), cells) if bad.size else cells
        return Parsed(_filled(cells, pa.int64(), MISSING_INT), bad, "does not fit a 64-bit whole number")
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _good(_filled(cells, pa.int64(), MISSING_INT))
    raise WrongTypeError(f"holds {kind}, which is not a whole number")


def floats(cells: pa.Array, *, missing: float = math.nan, booleans: bool = False) -> Parsed:
    """float32 values; `missing` where there is none. Infinite values and those beyond float32 are bad.

    Args:
      cells: Flat Arrow array.
      missing: What stands for a missing value.
      booleans: Whether the words true and false are 1 and 0, as they are for a label.
    """
    kind = cells.type
    if pa.types.is_null(kind):
        return _good(np.full(len(cells), missing, np.float32))
    if is_text(kind):
        parse = _number_or_boolean_of_text if booleans else _number_of_text
        parsed = _from_text(cells, pa.float64(), parse, math.nan, "is not a number")
    elif pa.types.is_boolean(kind):
        parsed = _good(_numpy(pc.fill_null(pc.cast(cells, pa.float64()), math.nan)))
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        parsed = _good(_float64(cells))
    else:
        raise WrongTypeError(f"holds {kind}, which is not a number")
    with np.errstate(over="ignore"):
        values = parsed.values.astype(np.float32)
    reason = parsed.reason
    bad = parsed.bad
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        bad = np.union1d(bad, infinite)
        reason = "is not a finite float32 number"
    if not math.isnan(missing):
        values[np.isnan(values)] = missing
    return Parsed(values, bad, reason)


def texts(cells: pa.Array) -> Parsed:
    """Objects of `bytes`, empty where missing. Whole numbers, booleans and dates become their text."""
    kind = cells.type
    if pa.types.is_null(kind):
        values = np.empty(len(cells), object)
        values[:] = MISSING_BYTES
        return _good(values)
    if not is_text(kind):
        if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)):
            raise WrongTypeError(f"holds {kind}, which is not text")
        cells = pc.cast(cells, pa.string())
    filled = pc.fill_null(pc.cast(cells, pa.large_binary()), MISSING_BYTES)
    return _good(filled.to_numpy(zero_copy_only=False))


def times(cells: pa.Array, *, unit: str) -> Parsed:
    """int64 times in `unit` (`s` or `ms`) since 1970; -1 where missing.

    Numbers are taken to be in `unit` already. Timestamps, dates and ISO 8601 text are converted; without a zone they
    are UTC. Fractions of a unit are cut off.
    """
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _good(_since_1970(cells, unit))
    if pa.types.is_floating(kind):
        return _whole(np.floor(_float64(cells)))
    if is_text(kind):
        for parsed_type in (pa.int64(), pa.timestamp("us"), pa.timestamp("us", "UTC")):
            try:
                parsed = pc.cast(_as_string(cells), parsed_type)
            except pa.ArrowInvalid:
                continue
            whole = pa.types.is_integer(parsed_type)
            return integers(parsed) if whole else _good(_since_1970(parsed, unit))
        return _by_distinct(
            cells, np.int64, lambda text: _time_of_text(text, unit), MISSING_INT, "is neither a number nor a time"
        )
    return integers(cells)


def _good(values: npt.NDArray[Any]) -> Parsed:
    return Parsed(values, np.empty(0, np.int64))


def _numpy(cells: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = cells.to_numpy(zero_copy_only=False)
    return values


def _filled(cells: pa.Array, kind: pa.DataType, missing: int) -> npt.NDArray[Any]:
    return _numpy(pc.fill_null(pc.cast(cells, kind), missing))


def _float64(cells: pa.Array) -> npt.NDArray[Any]:
    # Large integers lose their last digits as a number, which is what Arrow's safe cast would refuse.
    return _numpy(pc.fill_null(pc.cast(cells, pa.float64(), safe=False), math.nan))


def _whole(values: npt.NDArray[Any]) -> Parsed:
    missing = np.isnan(values)
    good = (np.trunc(values) == values) & (np.abs(values) < _INT64_END)
    whole = np.where(good, values, MISSING_INT).astype(np.int64)
    return Parsed(whole, np.flatnonzero(~good & ~missing), "is not a 64-bit whole number")


def _since_1970(cells: pa.Array, unit: str) -> npt.NDArray[Any]:
    # Dates count days; timestamps of a finer unit are cut off towards the past, so that -0.5 s is second -1.
    fine = pc.cast(cells, pa.timestamp("us"), safe=False) if not pa.types.is_date(cells.type) else None
    if fine is None:
        days = pc.cast(pc.cast(cells, pa.date32()), pa.int32())
        micros = pc.multiply(pc.cast(days, pa.int64()), 86_400_000_000)
    else:
        micros = pc.cast(fine, pa.int64())
    present = ~_numpy(pc.is_null(micros))
    values = _numpy(pc.fill_null(micros, 0)) // {"s": 1_000_000, "ms": 1_000}[unit]
    return np.where(present, values, MISSING_INT)


def _as_string(cells: pa.Array) -> pa.Array:
    try:
        return pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
    except pa.ArrowInvalid:  # not UTF-8: look at the values one by one
        return cells


def _from_text(
    cells: pa.Array, kind: pa.DataType, parse: Callable[[str], float | None], missing: float, reason: str
) -> Parsed:
    try:
        return _good(_numpy(pc.fill_null(pc.cast(_as_string(cells), kind), missing)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _by_distinct(cells, kind.to_pandas_dtype(), parse, missing, reason)


def _by_distinct(
    cells: pa.Array, dtype: npt.DTypeLike, parse: Callable[[str], float | None], missing: float, reason: str
) -> Parsed:
    """Parses each distinct text once; `parse` gives `None` for one that is bad."""
    encoded = pc.cast(cells, pa.binary()).dictionary_encode()
    table = np.full(len(encoded.dictionary) + 1, missing, dtype)
    wrong = np.zeros(len(table), bool)
    for position, raw in enumerate(encoded.dictionary.to_pylist()):
        text = raw.decode("utf-8", errors="replace").strip()
        if text.lower() in _MISSING_WORDS:
            continue
        value = parse(text)
        if value is None:
            wrong[position] = True
        else:
            table[position] = value
    codes = _numpy(pc.fill_null(encoded.indices, len(table) - 1))
    return Parsed(table[codes], np.flatnonzero(wrong[codes]), reason)


def _integer_of_text(text: str) -> int | None:
    if _WHOLE.fullmatch(text):
        value = int(text)
    else:
        number = _number_of_text(text)
        if number is None or not number.is_integer():
            return None
        value = int(number)
    return value if -_INT64_END <= value < _INT64_END else None


def _number_of_text(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _number_or_boolean_of_text(text: str) -> float | None:
    return _TRUE_OR_FALSE.get(text.lower(), _number_of_text(text))


def _time_of_text(text: str, unit: str) -> int | None:
    number = _number_of_text(text)
    if number is not None:
        return math.floor(number) if abs(number) < _INT64_END else None
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return int(_since_1970(pc.cast(pa.array([text]), kind), unit)[0])
        except pa.ArrowInvalid:
            continue
    return None
