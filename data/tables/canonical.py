"""The canonical form of a cell, as DuckDB expressions that infer, convert and scoring share.

`docs/tables.md` states the rules for a reader of tables. An expression is built for the type that a column of the table
has; its value is NULL where the cell is missing and where it cannot be read, and `absent` distinguishes the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

Kind = Literal["integer", "text", "number", "label", "time"]
"""The type that a cell is read as; a `label` is a number that may also be spelled true or false."""

MISSING_TEXT: Final = ("", r"\N")
"""Texts that mean "no value" in a column of text. NA is not among them: it is also Namibia."""
MISSING_NUMBER: Final = (
    *("", r"\n", "-", "--", "?", "na", "n/a", "#n/a", "<na>", "nan", "nat", "nil", "none", "null", "(null)"),
)
"""Texts that mean "no value" in a column of numbers or times, in upper or lower case, with or without blanks."""

SIGNED: Final = frozenset({"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"})
INTEGERS: Final = SIGNED | {"hugeint", "ubigint", "uhugeint", "bignum"}
FLOATS: Final = frozenset({"float", "double"})
MOMENTS: Final = frozenset(
    {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone", "date"}
)
TEXTS: Final = frozenset({"varchar", "blob"})
LISTS: Final = frozenset({"list", "array"})
_SPELLED: Final = frozenset({"enum", "uuid", "json", "time", "time with time zone", "interval"})
"""Types that are treated as text, and can only be ids."""
_EXACT: Final = {"double": 2**53, "float": 2**24}
"""Largest whole number up to which a float represents every whole number exactly."""

_WHOLE: Final = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_WHOLE_WITHOUT_LEADING_ZERO: Final = r"\s*(0|-?[1-9][0-9]*)(\.0+)?\s*"
_BLANKS: Final = " \t\r\n\f"
_UNITS: Final = {"s": 1_000_000, "ms": 1_000}


class _Text:
    """The type of text, with the attributes of a `DuckDBPyType`."""

    id = "varchar"

    def __str__(self) -> str:
        return "VARCHAR"


VARCHAR: Final = _Text()


class _TextList:
    """The type of lists of text."""

    id = "list"
    children = (("child", VARCHAR),)

    def __str__(self) -> str:
        return "VARCHAR[]"


TEXT_LIST: Final = _TextList()


class WrongTypeError(ValueError):
    """A column whose type cannot hold what the schema declares, whatever its values."""


class Cell(NamedTuple):
    """How one cell is read; each field is a DuckDB expression.

    Attributes:
      value: The value; NULL if there is none.
      absent: Whether the cell means "no value"; only defined where `value` is NULL.
      reason: What is wrong with a cell that is neither; `None` if there is no such cell.
      text: The cell as text, for messages.
    """

    value: str
    absent: str
    reason: str | None
    text: str


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def cell(kind: Kind, x: str, type_id: str, *, missing: Sequence[str] = (), unit: str = "s") -> Cell:
    """How a cell of a table is read.

    Args:
      kind: The type that it is read as.
      x: The cell, a DuckDB expression.
      type_id: Its DuckDB type, as `DuckDBPyType.id` names it.
      missing: Further texts that mean "no value", whatever the kind; compared exactly.
      unit: Unit of a time: `s` or `ms`.

    Raises:
      WrongTypeError: If a cell of this type is never of this kind.
    """
    if type_id == "null":
        return Cell(f"CAST(NULL AS {_SQL_TYPES[kind]})", "TRUE", None, "''")
    if type_id in _SPELLED:
        x, type_id = f"CAST({x} AS VARCHAR)", "varchar"
    shown = f"CAST({x} AS VARCHAR)"
    given = f"{shown} IN ({_in(missing)})" if missing else ""
    legible = "TRUE"
    if type_id == "blob" and kind != "text":
        legible = f"({x} IS NULL OR TRY(decode({x})) IS NOT NULL)"
        x, type_id = f"TRY(decode({x}))", "varchar"
    value, absent, reason = _READERS[kind](x, type_id, unit)
    absent = absent if legible == "TRUE" else f"({absent} AND {legible})"
    if given:
        value, absent = f"CASE WHEN {given} THEN NULL ELSE {value} END", f"({absent} OR {given})"
    return Cell(value, absent, reason, shown)


def id_of_number(x: str) -> str:
    """A number of a schema as a whole-number id; NULL if it is none, or beyond what float32 represents exactly."""
    return cell("integer", x, "float").value


def trimmed(x: str) -> str:
    """A text without blanks around it."""
    return f"trim({x}, {literal(_BLANKS)})"


def absent_number(x: str) -> str:
    """Whether a text means a missing number."""
    return f"({x} IS NULL OR lower({trimmed(x)}) IN ({_in(MISSING_NUMBER)}))"


def absent_text(kind: Kind, x: str, *, missing: Sequence[str] = ()) -> str:
    """Whether a text as a whole means "no value" in a column of a kind; `missing` as in `cell`."""
    usual = f"({x} IS NULL OR {x} IN ({_in(MISSING_TEXT)}))" if kind == "text" else absent_number(x)
    return f"({usual} OR {x} IN ({_in(missing)}))" if missing else usual


def _in(texts: Sequence[str]) -> str:
    return ", ".join(map(literal, texts))


def _integer(x: str, type_id: str, unit: str) -> tuple[str, str, str | None]:
    del unit
    none = f"{x} IS NULL"
    reason = literal("is not a 64-bit whole number")
    if type_id == "varchar":
        fast = f"TRY_CAST({x} AS BIGINT)"
        value = (
            f"CASE WHEN CAST({fast} AS VARCHAR) = {x} THEN {fast} "
            f"WHEN {x} IS NOT NULL AND regexp_full_match({x}, {literal(_WHOLE)}) "
            f"THEN TRY_CAST(split_part({x}, '.', 1) AS BIGINT) END"
        )
        return value, absent_number(x), reason
    if type_id in SIGNED or type_id == "boolean":
        return f"CAST({x} AS BIGINT)", none, reason
    if type_id in INTEGERS:
        return f"TRY_CAST({x} AS BIGINT)", none, literal("does not fit a 64-bit whole number: declare dtype bytes")
    if type_id == "decimal":
        return f"CASE WHEN {x} = trunc({x}) THEN TRY_CAST({x} AS BIGINT) END", none, reason
    if type_id in FLOATS:
        value = f"CASE WHEN {_exact(x, type_id)} THEN CAST({x} AS BIGINT) END"
        return value, f"({none} OR isnan({x}))", _float_reason(x, type_id, "is not a 64-bit whole number")
    raise WrongTypeError("which is not a whole number")


def _text(x: str, type_id: str, unit: str) -> tuple[str, str, str | None]:
    del unit
    none = f"{x} IS NULL"
    if type_id == "varchar":
        return _canonical(x), "TRUE", None
    if type_id == "blob":
        decoded = f"TRY(decode({x}))"
        value = f"CASE WHEN octet_length({x}) = 0 THEN NULL WHEN {decoded} IS NULL THEN {x} "
        return value + f"ELSE encode({_canonical(decoded)}) END", "TRUE", None
    if type_id in INTEGERS or type_id == "boolean" or type_id in MOMENTS:
        return f"CAST({x} AS VARCHAR)", none, None
    if type_id == "decimal":
        spelled = f"CAST({x} AS VARCHAR)"
        value = f"CASE WHEN contains({spelled}, '.') THEN rtrim(rtrim({spelled}, '0'), '.') ELSE {spelled} END"
        return value, none, None
    if type_id in FLOATS:
        value = (
            f"CASE WHEN {_exact(x, type_id)} THEN CAST(CAST({x} AS BIGINT) AS VARCHAR) "
            f"WHEN isfinite({x}) AND {x} <> trunc({x}) THEN CAST({x} AS VARCHAR) END"
        )
        return value, f"({none} OR isnan({x}))", _float_reason(x, type_id, "is not an id")
    raise WrongTypeError("which is not text")


def _number(x: str, type_id: str, unit: str) -> tuple[str, str, str | None]:
    del unit
    none = f"{x} IS NULL"
    infinite = literal("is not a finite float32 number")
    if type_id == "varchar":
        number = f"TRY_CAST(TRY_CAST({x} AS DOUBLE) AS FLOAT)"
        value = f"CASE WHEN isfinite({number}) AND NOT contains({x}, '_') THEN {number} END"
        reason = f"CASE WHEN TRY_CAST({x} AS DOUBLE) IS NULL OR contains({x}, '_') THEN 'is not a number' "
        return value, absent_number(x), reason + f"ELSE {infinite} END"
    if type_id in INTEGERS or type_id in ("decimal", "boolean"):
        return f"CAST(CAST({x} AS DOUBLE) AS FLOAT)", none, infinite
    if type_id in FLOATS:
        number = f"TRY_CAST({x} AS FLOAT)"
        return f"CASE WHEN isfinite({number}) THEN {number} END", f"({none} OR isnan({x}))", infinite
    raise WrongTypeError("which is not a number")


def _label(x: str, type_id: str, unit: str) -> tuple[str, str, str | None]:
    value, absent, reason = _number(x, type_id, unit)
    if type_id == "varchar":
        value = f"coalesce({value}, CASE lower({trimmed(x)}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
    return value, absent, reason


def _time(x: str, type_id: str, unit: str) -> tuple[str, str, str | None]:
    none = f"{x} IS NULL"
    reason = literal("is neither a number nor a time")
    if type_id == "varchar":
        fast = f"TRY_CAST({x} AS BIGINT)"
        number = f"TRY_CAST({x} AS DOUBLE)"
        value = (
            f"CASE WHEN CAST({fast} AS VARCHAR) = {x} THEN {fast} "
            f"WHEN regexp_full_match({x}, {literal(_WHOLE)}) THEN TRY_CAST(split_part({x}, '.', 1) AS BIGINT) "
            f"WHEN isfinite({number}) AND NOT contains({x}, '_') THEN TRY_CAST(floor({number}) AS BIGINT) "
            f"WHEN regexp_matches({x}, '^\\s*[0-9]') "
            f"THEN {_floored(f'epoch_us(TRY_CAST({trimmed(x)} AS TIMESTAMP WITH TIME ZONE))', _UNITS[unit])} END"
        )
        return value, absent_number(x), reason
    if type_id == "timestamp_ns":
        return _floored(f"epoch_ns({x})", _UNITS[unit] * 1_000), none, reason
    if type_id in MOMENTS:
        moment = x if type_id == "timestamp with time zone" else f"CAST({x} AS TIMESTAMP)"
        return _floored(f"epoch_us({moment})", _UNITS[unit]), none, reason
    if type_id in FLOATS:
        return f"TRY_CAST(floor({x}) AS BIGINT)", f"({none} OR isnan({x}))", reason
    if type_id == "decimal":
        return f"TRY_CAST(floor({x}) AS BIGINT)", none, reason
    return _integer(x, type_id, unit)


def _canonical(x: str) -> str:
    """Text as an id: NULL if missing, whole numbers without surrounding blanks and a trailing `.0`."""
    number = f"regexp_full_match({x}, {literal(_WHOLE_WITHOUT_LEADING_ZERO)})"
    return (
        # Nearly all ids begin with a letter or are plain whole numbers, and need no closer look.
        f"CASE WHEN {x} > '\\N' OR CAST(TRY_CAST({x} AS BIGINT) AS VARCHAR) = {x} THEN {x} "
        f"WHEN {x} IN ({_in(MISSING_TEXT)}) THEN NULL "
        # A number begins with a character before ":", and one that has to change begins or ends with a blank or 0.
        f"WHEN {x} < ':' AND ({x} < '!' OR right({x}, 1) <= '0') AND {number} THEN split_part({trimmed(x)}, '.', 1) "
        f"ELSE {x} END"
    )


def _exact(x: str, type_id: str) -> str:
    return f"{x} = trunc({x}) AND abs({x}) <= {_EXACT[type_id]}"


def _float_reason(x: str, type_id: str, otherwise: str) -> str:
    beyond = (
        f"is a float beyond {_EXACT[type_id]}, where whole numbers are no longer exact: store ids as integers or text"
    )
    return f"CASE WHEN isfinite({x}) AND {x} = trunc({x}) THEN {literal(beyond)} ELSE {literal(otherwise)} END"


def _floored(x: str, unit: int) -> str:
    """An integer divided by a unit, rounded towards the past; `//` truncates towards zero."""
    return f"({x} - (({x} % {unit}) + {unit}) % {unit}) // {unit}"


_READERS: Final = {"integer": _integer, "text": _text, "number": _number, "label": _label, "time": _time}
_SQL_TYPES: Final[dict[Kind, str]] = {
    **{"integer": "BIGINT", "text": "VARCHAR"},
    **{"number": "FLOAT", "label": "FLOAT", "time": "BIGINT"},
}
