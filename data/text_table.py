"""Lays out rows of text in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fullrank.data.files.printable import printable


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """A table with a line below its header.

    Args:
      header: Titles of the columns.
      rows: Cells, as many a row as there are titles.
      right: Numbers of the columns to align on the right.
    """
    header, rows = [printable(cell) for cell in header], [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
