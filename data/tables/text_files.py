"""Text files before DuckDB reads them: their first line, and copies of files that it cannot read directly."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from fullrank.data.tables.columns import shown
from fullrank.data.tables.naming_errors import naming_errors

NATIVE: Final = ("utf-8", "latin-1")
"""Encodings that DuckDB reads itself."""
_FIRST: Final = 1 << 20
_PIECE: Final = 1 << 22
_LINE_FEED, _RETURN = b"\n\r"
_ZEROS: Final = 0.2
"""Share of zero bytes above which text is taken for UTF-16."""
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
"""How `surrogateescape` represents a byte that cannot be decoded."""


def names_in_first_line(
    file: Path, *, separator: str, quote: str, encoding: str, comment: str | None = None
) -> list[str]:
    """The names in the first line of a CSV file, without blanks around them; empty for an empty file.

    Raises:
      ValueError: If the beginning of the file is not text in `encoding`.
    """
    with naming_errors(file), pa.input_stream(str(file), compression="detect") as stream:
        content = stream.read(_FIRST)
    zeros = content[:1000].count(b"\x00")
    if encoding == "utf-8" and (content[:2] in (b"\xff\xfe", b"\xfe\xff") or zeros > _ZEROS * len(content[:1000])):
        raise ValueError(f"{file} looks like UTF-16, not UTF-8: read it by --encoding=utf-16.")
    if len(content) == _FIRST:
        content = content[: content.rfind(b"\n") + 1] or content
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        # Only names are read here; errors further below are found and counted by row.
        text = content[: error.start].decode(encoding).removeprefix("\ufeff")
        if "\n" not in text:
            raise ValueError(
                f"{file}, line 1: its names are not {encoding}: give the encoding of the file, for example by "
                "--encoding=latin-1."
            ) from None
    lines = io.StringIO(text, newline="")
    first = next((line for line in lines if comment is None or not line.startswith(comment)), "").rstrip("\r\n")
    return [name.strip() for name in _cells(first, file=file, separator=separator, quote=quote)] if first else []


def _cells(line: str, *, file: Path, separator: str, quote: str) -> list[str]:
    """The cells of the line of names, cut as DuckDB cuts it.

    If a quote in the names does not end with its cell, DuckDB returns neither rows nor rejected lines of the file.
    """
    end, mark = re.escape(separator), re.escape(quote)
    # One blank before a quote and any number after it do not matter, unless they separate cells.
    opens, behind = (mark, "") if separator == " " else (f" ?{mark}", " *")
    quoted = f"{opens}((?:[^{mark}]|{mark}{mark})*){mark}{behind}|(?!{opens})" if quote else "(?!)()|"
    pattern = re.compile(f"(?:{quoted}((?:(?!{end}).)*))({end}|\\Z)", re.DOTALL)
    cells: list[str] = []
    at, more = 0, True
    while more:
        found = pattern.match(line, at)
        if found is None:
            raise ValueError(
                f"{file}, line 1: a quote opens before the name {shown(line[at:].split(separator)[0])} and does "
                "not end where the name does. Correct it, or treat quotes as ordinary characters by --quote=none."
            )
        cells.append(found[2] if found[1] is None else found[1].replace(quote * 2, quote))
        at, more = found.end(), found[3] != ""
    return cells


def rewritten(
    file: Path, *, directory: Path, number: int, encoding: str, comment: str | None = None, quote: str = '"'
) -> tuple[Path, list[int]]:
    """A copy in UTF-8, uncompressed, with one kind of line break; for files that DuckDB cannot read directly.

    A byte that cannot be decoded becomes one that is not UTF-8, which makes its row a bad one. Lines that begin
    with `comment` are left out, except within quotes; DuckDB would also cut rows that contain it.

    Returns:
      The copy, and the numbers of the lines that it lacks.

    Raises:
      ValueError: If the file is not text in `encoding`.
    """
    target = directory / f"rewritten-{number}.txt"
    left_out: list[int] = []
    try:
        with (
            pa.input_stream(str(file), compression="detect") as stream,
            io.TextIOWrapper(
                io.BufferedReader(stream), encoding=encoding, errors="surrogateescape", newline=None
            ) as text,
            open(target, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as output,
        ):
            pieces = iter(lambda: text.read(_PIECE), "")
            for piece in pieces if comment is None else _without_comments(text, comment, quote, left_out):
                output.write(_NO_TEXT.sub("\udcff", piece))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not {encoding}: {error.reason}. Give its encoding by --encoding.") from None
    return target, left_out


def lines_at(file: Path, positions: Iterable[int], *, encoding: str) -> dict[int, int]:
    """Position -> number of the line there, from 1, in a file that DuckDB has read.

    DuckDB numbers rows, and a row spans several lines if its cells contain line breaks. As in an editor, a line ends
    with a line feed, a carriage return, or both.

    Args:
      file: The file, which may be compressed.
      positions: Bytes of the uncompressed file in UTF-8, from 1, as DuckDB reports them.
      encoding: `utf-8` or `latin-1`.
    """
    wanted = np.unique(np.fromiter(positions, np.int64)) - 1
    numbers = np.zeros(len(wanted), np.int64)
    start, line, done = 0, 1, 0
    held = b""
    with pa.input_stream(str(file), compression="detect") as stream:
        while done < len(wanted) and (piece := stream.read(_PIECE)):
            text = held + (piece if encoding == "utf-8" else piece.decode(encoding).encode())
            # A break counts at its last byte; whether that is a carriage return, only the next byte shows.
            held = b"\r" if text.endswith(b"\r") else b""
            text = text[: len(text) - len(held)]
            codes = np.frombuffer(text + b"\x00", np.uint8)
            breaks = np.flatnonzero((codes[:-1] == _LINE_FEED) | ((codes[:-1] == _RETURN) & (codes[1:] != _LINE_FEED)))
            end = int(np.searchsorted(wanted, start + len(text)))
            # DuckDB lets a line begin at the second half of the CRLF before it.
            numbers[done:end] = line + np.searchsorted(breaks, wanted[done:end] - start, side="right")
            start, line, done = start + len(text), line + len(breaks), end
    numbers[done:] = line
    return dict(zip((wanted + 1).tolist(), numbers.tolist(), strict=True))


def _without_comments(lines: Iterable[str], comment: str, quote: str, left_out: list[int]) -> Iterator[str]:
    within = False
    for number, line in enumerate(lines, 1):
        # A byte order mark before the first line is not part of it.
        if not within and line.removeprefix("\ufeff" if number == 1 else "").startswith(comment):
            left_out.append(number)
            continue
        within ^= quote != "" and line.count(quote) % 2 == 1
        yield line
