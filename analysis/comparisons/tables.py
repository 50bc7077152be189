"""Aligned text tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fullrank.data.files.printable import printable


def format_table(*, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Formats rows as a table with a header.

    Integers get thousands separators; floats four decimals, or three significant digits if four decimals would show
    less than that; None, a missing entry and NaN are shown as "-", control characters escaped. Columns of text are
    aligned left, others right.

    Args:
        rows: column -> value.
        columns: the columns to show, in order.

    Returns:
        The lines, without a newline at the end.

    Example:
        >>> print(format_table(rows=[{"task": "click", "auc": 0.75}], columns=["task", "auc"]))
        task      auc
        -----  ------
        click  0.7500
    """
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    lines = [list(columns), *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    texts = [any(isinstance(row.get(column), str) for row in rows) for column in columns]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, texts, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0.0 or 0.01 <= abs(value) < 1e6 else f"{value:.3g}"
    return printable(" ".join(str(value).split()))
