"""Lists and HashID bits, parsed from text or packed into one number, as DuckDB expressions."""

from __future__ import annotations

from typing import Final

from fullrank.data.tables.canonical import literal, trimmed

_AROUND_BITS: Final = r"""[\[\],\s"']"""
_QUOTES: Final = "\"'"
_QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_QUOTED_LISTS: Final = (
    (rf"""(?:{_QUOTED}|[^\s,'"](?:[^,'"]*[^\s,'"])?)""", r"\s*,\s*"),
    (rf"""(?:{_QUOTED}|[^\s,'"]+)""", r"\s+"),
)
"""An item of a list that is quoted in part, and what stands between two of them."""
_ESCAPED: Final = r"""\\(['"\\])"""
_UNESCAPED: Final = r"\1"


def list_of_text(x: str, *, delimiter: str, absent: str | None = None) -> str:
    r"""A list of texts, empty for a missing cell.

    Text in brackets is a JSON array if it holds text in double quotes or null, or else a list in Python's or numpy's
    notation, as `[1, 2]`, `['a', 'b, c']` or `[1 2]`: items are separated by commas, or by white space where there are
    no commas outside of quotes. Other text is split at `delimiter`.

    Args:
      x: The text, a DuckDB expression.
      delimiter: What separates items without brackets.
      absent: Whether the text as a whole means "no value"; by default only if it is NULL, empty or `\N`.
    """
    absent = absent or f"({x} IS NULL OR {x} IN ('', '\\N'))"
    bracketed = f"left({trimmed(x)}, 1) = '[' AND right({trimmed(x)}, 1) = ']'"
    inner = trimmed(f"{trimmed(x)}[2:-2]")
    # Numbers are not read as JSON, which would round those that a double cannot hold.
    json = f"(contains({x}, '\"') OR contains({x}, 'null')) AND json_valid({x})"
    unescaped = f"regexp_replace(p[2:-2], {literal(_ESCAPED)}, {literal(_UNESCAPED)}, 'g')"
    unquoted = f"CASE WHEN contains({literal(_QUOTES)}, left(p, 1)) THEN {unescaped} ELSE p END"
    quoted = [
        f"WHEN regexp_full_match({inner}, {literal(f'{item}({between}{item})*')}) "
        f"THEN list_transform(regexp_extract_all({inner}, {literal(item)}), lambda p: {unquoted}) "
        for item, between in _QUOTED_LISTS
    ]
    parts = (
        f"CASE WHEN {inner} = '' THEN [] "
        f"WHEN contains({x}, '\"') OR contains({x}, '''') THEN CASE {''.join(quoted)}"
        f"ELSE {_plain(inner, strip=True)} END "
        f"ELSE {_plain(inner, strip=False)} END"
    )
    return (
        f"CASE WHEN {absent} THEN [] "
        f"WHEN {bracketed} THEN CASE WHEN {json} THEN from_json({x}, '[\"VARCHAR\"]') ELSE {parts} END "
        f"ELSE string_split({x}, {literal(delimiter)}) END"
    )


def _plain(inner: str, *, strip: bool) -> str:
    """Items at commas, or at white space where there are none, whatever quotes say."""
    parts = (
        f"CASE WHEN contains({inner}, ',') THEN regexp_split_to_array({inner}, '\\s*,\\s*') "
        f"ELSE regexp_split_to_array({inner}, '\\s+') END"
    )
    return f"list_transform({parts}, lambda p: trim(p, {literal(_QUOTES)}))" if strip else parts


def bits_of_text(x: str, *, length: int, delimiter: str) -> str:
    """Bits from text: `0101`, delimited `0|1|0|1`, in brackets `[0, 1, 0, 1]`, or hexadecimal `5` or `0x5`.

    Text of exactly `length` characters 0 and 1 is read as bits, one of ceil(length / 4) hexadecimal digits as a number
    whose most significant bit is the first; bits beyond `length` must be 0.

    Returns:
      The list of `length` integers, NULL if there is none.
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
    return (
        f"CASE WHEN length({text}) = {length} AND NOT regexp_matches({text}, '[^01]') THEN {split.format(text)} "
        f"WHEN length({hexadecimal}) = {digits} AND left({spelled}, {beyond}) = '{'0' * beyond}' "
        f"THEN {split.format(f'right({spelled}, {length})')} END"
    )


def code_of_bits(x: str) -> str:
    """The whole number whose bit k is the k-th value of a list of bits, from 0; NULL if there is none."""
    return f"CASE WHEN len({x}) > 0 THEN CAST(list_sum(list_transform({x}, lambda b, k: b << (k - 1))) AS BIGINT) END"
