"""Lines of CSV files that are not rows: what DuckDB says about them, and unbalanced quotes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import duckdb

from fullrank.data.tables.columns import shown
from fullrank.data.tables.files import Part, TableFiles
from fullrank.data.tables.naming_errors import unreadable
from fullrank.data.tables.text_files import lines_at

_COUNTS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_SHOWN: Final = 60
_NOT_TEXT: Final = "INVALID ENCODING"
_OPEN_QUOTE: Final = "UNQUOTED VALUE"
_MIXED_LINE_BREAKS: Final = "invalid state"
"""DuckDB's message about a file with two kinds of line breaks."""

_Result = TypeVar("_Result")


class RejectedLine(NamedTuple):
    """A line that is not a row.

    Attributes:
      file: The file, as it was given.
      line: Number of the line, from 1.
      reason: What is wrong with it.
      text: Its beginning.
      stray_quote: Whether a quote in it does not end where its cell does.
      runs_on: Whether that quoted cell extends over further lines.
    """

    file: Path
    line: int
    reason: str
    text: str
    stray_quote: bool
    runs_on: bool

    def __str__(self) -> str:
        """One line: file, line, reason, text."""
        cut = "..." if len(self.text) > _SHOWN else "."
        return f"{self.file}, line {self.line}: {self.reason}: {self.text[:_SHOWN]!r}{cut}"


def read_parts(
    connection: duckdb.DuckDBPyConnection, files: TableFiles, read: Callable[[Part], _Result]
) -> Iterator[tuple[_Result, list[RejectedLine]]]:
    """Reads all files: the results of `read`, in order, and the lines that are not rows.

    Similar files are read together, and one by one if something is wrong with one of them: a file with
    two kinds of line breaks is read from a copy with one kind; for unbalanced quotes see `_settle_quotes`.

    Args:
      connection: The database of `read`; its changes are undone before it is called again.
      files: What to read.
      read: Runs queries on a part.

    Raises:
      ValueError: If a file cannot be read.
    """
    for part in list(files.parts()):
        yield from _read_part(connection, files, part, read)


def _read_part(
    connection: duckdb.DuckDBPyConnection, files: TableFiles, part: Part, read: Callable[[Part], _Result]
) -> Iterator[tuple[_Result, list[RejectedLine]]]:
    alone = len(part.files) == 1
    connection.begin()
    try:
        found = read(part)
        rejected = take_rejected_lines(connection, files)
        quotes = [line for line in rejected if line.stray_quote]
        # Line breaks of two kinds also look like stray quotes.
        mixed = alone and bool(quotes) and files.rewrite(part.files[0])
        if not mixed and not any(line.runs_on for line in quotes):
            connection.commit()
            yield found, rejected
            return
        connection.rollback()
        if alone and not mixed:
            _settle_quotes(connection, files, next(line for line in rejected if line.runs_on))
    except duckdb.Error as error:
        connection.rollback()
        if alone and not (_MIXED_LINE_BREAKS in str(error) and files.rewrite(part.files[0])):
            raise unreadable(part.files[0], error) from error
    for file in part.files:
        yield from _read_part(connection, files, files.part((file,)), read)


def take_rejected_lines(connection: duckdb.DuckDBPyConnection, files: TableFiles) -> list[RejectedLine]:
    """The lines that queries rejected since the last call, in order, each once."""
    if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'").fetchall():
        return []
    found = connection.execute(
        "SELECT s.file_path, e.line, e.error_type, e.error_message, coalesce(e.csv_line, ''), e.column_idx, "
        "e.line_byte_position FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) "
        f"ORDER BY 1, 2, e.error_type <> '{_OPEN_QUOTE}', 3, 4, 5, 6"
    ).fetchall()
    connection.execute("DELETE FROM reject_errors")
    connection.execute("DELETE FROM reject_scans")
    numbers = _line_numbers(files, {(path, position) for path, *_, position in found})
    lines: dict[tuple[Path, int], RejectedLine] = {}
    for path, row, kind, message, text, column, position in found:
        file, line = files.named(path), files.line(path, numbers[path, position])
        counts = _COUNTS.search(message)
        if counts is not None:
            reason = f"{counts[2]} cells instead of {counts[1]}"
        elif kind == _NOT_TEXT:
            reason = f"cell {column} is not {files.dialect.encoding} (--encoding=latin-1 reads any bytes)"
        elif kind == _OPEN_QUOTE:
            reason = "a quote that does not end where the cell does"
        else:
            reason = message.splitlines()[0].rstrip(".")
        text = text.strip("\r\n")
        stray = kind == _OPEN_QUOTE
        # If the quotes in the text are paired, it is not the line in which one opens, and does not show where it ends.
        paired = text.count(files.quote(file)) % 2 == 0 if stray and files.quote(file) else False
        runs_on = stray and ("\n" in text or "\r" in text or paired)
        known = lines.get((file, row))
        if known is not None and known.stray_quote:
            # Other errors of the line result from the quote. Bytes that are not text are missing in what is shown.
            lines[file, row] = known._replace(runs_on=known.runs_on or runs_on or kind == _NOT_TEXT)
        else:
            lines[file, row] = RejectedLine(file, line, reason, text, stray, runs_on)
    order = {file: number for number, file in enumerate(files.files)}
    return sorted(lines.values(), key=lambda each: (order.get(each.file, 0), each.line))


def _line_numbers(files: TableFiles, places: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """(Path, position) -> number of the line, in the file that DuckDB has read."""
    numbers = {}
    for path in {path for path, _ in places}:
        copied = files.named(path) != Path(path)
        positions = [position for place, position in places if place == path]
        found = lines_at(Path(path), positions, encoding="utf-8" if copied else files.dialect.encoding)
        numbers.update({(path, position): line for position, line in found.items()})
    return numbers


def _settle_quotes(connection: duckdb.DuckDBPyConnection, files: TableFiles, problem: RejectedLine) -> None:
    """Decides about a file in which a quote swallows lines: its quotes are ordinary characters, or it is rejected.

    They are ordinary characters if every line then has as many cells as there are columns, the columns have the same
    names, and at most half of the cells that contain a quote are enclosed in quotes.

    Raises:
      ValueError: If lines do not fit either way, or the user said that there are quotes.
    """
    if files.dialect.quote == "auto":
        names = list(files.part((problem.file,)).columns)
        files.read_unquoted(problem.file)
        if list(files.part((problem.file,)).columns) == names and _fits_unquoted(connection, files, problem.file):
            print(
                f"{problem.file}: the quote in line {problem.line} is never closed, and without quoting all lines have "
                "the right number of cells: quotes in this file are ordinary characters (--quote=none says so).",
                file=sys.stderr,
            )
            return
        files.read_unquoted(problem.file, chosen=False)
    text = shown(problem.text.split("\n")[0])
    raise ValueError(
        f"{problem.file}, line {problem.line}: a quote opens here that does not end where its cell does, so the lines "
        f"below would be lost: {text}. Correct the line, or treat quotes as ordinary characters by --quote=none."
    )


def _fits_unquoted(connection: duckdb.DuckDBPyConnection, files: TableFiles, file: Path) -> bool:
    """Whether a file, read without quoting, has no bad line and few enough cells that are enclosed in quotes."""
    part = files.part((file,))
    cells = [column.expression for column in part.columns.values()]
    around = " + ".join(f"coalesce(CAST(regexp_full_match({cell}, '(?s)\".*\"') AS INTEGER), 0)" for cell in cells)
    some = " + ".join(f"coalesce(CAST(contains({cell}, '\"') AS INTEGER), 0)" for cell in cells)
    try:
        found = connection.execute(f"SELECT sum({around}), sum({some}) FROM {part.sql}").fetchall()
    except duckdb.Error as error:
        if _MIXED_LINE_BREAKS in str(error) and files.rewrite(file):
            return _fits_unquoted(connection, files, file)
        raise unreadable(file, error) from error
    whole, any_quote = (int(number or 0) for number in found[0])
    return not take_rejected_lines(connection, files) and 2 * whole <= any_quote
