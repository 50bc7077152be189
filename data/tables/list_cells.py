"""Lists and HashID bits, parsed from text or packed into one number, as DuckDB expressions."""

from __future__ import annotations

from typing import Final

from fullrank.data.tables.canonical import absent_number, literal, trimmed

_AROUND_BITS: Final = r"""[\[\],\s"']"""


def list_of_text(x: str, *, delimiter: str) -> str:
    """A list of texts, empty for a missing cell.

    Text in brackets, as in `[1, 2]` or `['a', 'b']`, is split at commas, or at white space where there are none. Other
    text is split at `delimiter`.
    """
    bracketed = f"left({x}, 1) = '[' AND right({trimmed(x)}, 1) = ']'"
    inner = trimmed(f"{trimmed(x)}[2:-2]")
    parts = (
        f"CASE WHEN {inner} = '' THEN [] "
        f"WHEN contains({inner}, ',') THEN regexp_split_to_array({inner}, '\\s*,\\s*') "
        f"ELSE regexp_split_to_array({inner}, '\\s+') END"
    )
    return (
        f"CASE WHEN {x} IS NULL OR {x} IN ('', '\\N') THEN [] "
        f"WHEN {bracketed} THEN list_transform({parts}, lambda p: trim(p, {literal(chr(34) + chr(39))})) "
        f"ELSE string_split({x}, {literal(delimiter)}) END"
    )


def bits_of_text(x: str, *, length: int, delimiter: str) -> tuple[str, str]:
    """Bits from text: `0101`, delimited `0|1|0|1`, in brackets `[0, 1, 0, 1]`, or hexadecimal `5` or `0x5`.

    Text of exactly `length` characters 0 and 1 is read as bits, one of ceil(length / 4) hexadecimal digits as a number
    whose most significant bit is the first; bits beyond `length` must be 0.

    Returns:
      The list of `length` integers, NULL if there is none, and whether the cell is missing.
    """
    digits = -(-length // 4)
    bracketed = f"left({trimmed(x)}, 1) = '[' AND right({trimmed(x)}, 1) = ']'"
    listed = f"regexp_replace({trimmed(x)}, {literal(_AROUND_BITS)}, '', 'g')"
    text = f"CASE WHEN {bracketed} THEN {listed} ELSE replace({trimmed(x)}, {literal(delimiter)}, '') END"
    hexadecimal = f"regexp_extract({text}, '^(0[xX])?([0-9a-fA-F]+)$', 2)"
    nibbles = (
        f"list_transform(string_split({hexadecimal}, ''), lambda d: lpad(bin(CAST('0x' || d AS UTINYINT)), 4, '0'))"
    )
    spelled = f"array_to_string({nibbles}, '')"
    beyond = 4 * digits - length
    split = "list_transform(string_split({}, ''), lambda d: CAST(d AS BIGINT))"
    value = (
        f"CASE WHEN length({text}) = {length} AND NOT regexp_matches({text}, '[^01]') THEN {split.format(text)} "
        f"WHEN length({hexadecimal}) = {digits} AND left({spelled}, {beyond}) = '{'0' * beyond}' "
        f"THEN {split.format(f'right({spelled}, {length})')} END"
    )
    return value, absent_number(x)


def code_of_bits(x: str) -> str:
    """The whole number whose bit k is the k-th value of a list of bits, from 0; NULL if there is none."""
    return f"CASE WHEN len({x}) > 0 THEN CAST(list_sum(list_transform({x}, lambda b, k: b << (k - 1))) AS BIGINT) END"
