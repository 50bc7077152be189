"""A matrix of numbers with names on both sides."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from fullrank.analysis.figures.style import GREY, figure, shortened

_MOST_NUMBERS: Final = 14
"""Largest number of columns for which every cell also shows its number."""


def matrix_heatmap(
    *,
    values: np.ndarray[Any, Any],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    scale: str,
    largest: float,
    smallest: float = 0.0,
    path: str | os.PathLike[str],
    row_axis: str = "",
    column_axis: str = "",
) -> None:
    """Draws a matrix from `smallest` (dark) to `largest` (light); NaN is blank.

    Args:
        values: `[rows, columns]`.
        rows: names of the rows.
        columns: names of the columns.
        title: title of the figure.
        scale: label of the colour bar.
        largest: Value of the lightest colour.
        smallest: Value of the darkest colour.
        path: the PNG to write.
        row_axis: label of the rows.
        column_axis: label of the columns.

    Raises:
        ValueError: if the names do not fit the matrix.
    """
    if values.shape != (len(rows), len(columns)) or not values.size:
        raise ValueError(f"{len(rows)} x {len(columns)} names do not fit a matrix of shape {values.shape}")
    numbers = len(columns) <= _MOST_NUMBERS
    digits = 2 if largest <= 1 else 1
    middle = smallest + 0.6 * (largest - smallest)
    cell = 0.55 if numbers else 0.26
    tallest, longest = (max(len(shortened(name, longest=24)) for name in names) for names in (columns, rows))
    across = max(3.0, cell * len(columns))
    upright = 0.09 * tallest * len(columns) > across
    width = 2.2 + 0.085 * longest + across
    height = 1.7 + 0.27 * max(3, len(rows)) + (0.085 * tallest if upright else 0)
    with figure(path=path, width=width, height=height) as axes:
        image = axes.imshow(values, cmap="viridis", vmin=smallest, vmax=largest, aspect="auto", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_yticks(range(len(rows)), [shortened(name, longest=24) for name in rows], fontsize=9)
        axes.set_xticks(range(len(columns)), [shortened(name, longest=24) for name in columns], fontsize=9)
        if upright:
            axes.tick_params(axis="x", rotation=90)
        if numbers:
            for (row, column), value in np.ndenumerate(values):
                shown = math.isfinite(value)
                axes.text(
                    column,
                    row,
                    "-" if not shown else f"{value:.{digits}f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=GREY if not shown else "white" if value < middle else "#111111",
                )
        axes.set_ylabel(row_axis)
        axes.set_xlabel(column_axis)
        axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).set_label(scale)
        axes.set_title(title)
