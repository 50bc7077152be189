"""The common style of figures, and how they are written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fullrank.data.files.write_aside import file_aside

# Okabe and Ito's colours, which are distinguishable with every kind of colour vision, and in grey.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#777777"
VERDICT_COLORS = {"better": BLUE, "worse": ORANGE, "not resolved": GREY, "too few keys": GREY}
"""The verdict of a gain -> the colour of its bar."""

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 144,
}


INK = "#010203"
"""The colour of lines and texts in an SVG, which a page replaces by its own."""
_OF_SVG: dict[Any, Any] = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    "svg.fonttype": "none",
    "svg.hashsalt": "fullrank",
}


@contextlib.contextmanager
def figure(*, path: str | os.PathLike[str], width: float = 6.0, height: float = 5.0) -> Iterator[Axes]:
    """Yields axes to draw on and writes them as PNG, or as SVG if the file name ends in `.svg`.

    The figure is made without pyplot, so neither a display nor another library's current figure matters. The file is
    written under a temporary name and then renamed, so a half-written one never has the name.

    Args:
        path: the file; its folder is created if missing.
        width: inches.
        height: height in inches.
    """
    with panels(path=path, rows=1, columns=1, width=width, height=height) as (axes,):
        yield axes


@contextlib.contextmanager
def panels(
    *, path: str | os.PathLike[str], rows: int, columns: int, width: float, height: float
) -> Iterator[list[Axes]]:
    """Like `figure`, with a grid of axes that share their x axis; yields them row by row.

    Args:
        path: the file.
        rows: rows of the grid.
        columns: columns of the grid.
        width: total width in inches.
        height: total height in inches.
    """
    vector = Path(path).suffix == ".svg"
    with mpl.rc_context(_SETTINGS | (_OF_SVG if vector else {})):
        canvas = FigureCanvasAgg(Figure(figsize=(width, height), layout="constrained"))
        yield list(canvas.figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
        with file_aside(Path(path)) as aside:
            canvas.figure.savefig(aside, format="svg" if vector else "png", metadata={"Date": None} if vector else None)


@contextlib.contextmanager
def side_by_side(
    *, path: str | os.PathLike[str], widths: Sequence[float], width: float, height: float
) -> Iterator[list[Axes]]:
    """Like `figure`, with independent axes side by side.

    Args:
        path: the file.
        widths: relative widths of the axes.
        width: total width in inches.
        height: height in inches.
    """
    with mpl.rc_context(_SETTINGS):
        canvas = FigureCanvasAgg(Figure(figsize=(width, height), layout="constrained"))
        grid = canvas.figure.subplots(1, len(widths), squeeze=False, gridspec_kw={"width_ratios": list(widths)})
        yield list(grid.flat)
        with file_aside(Path(path)) as aside:
            canvas.figure.savefig(aside, format="png")


def shortened(label: str, *, longest: int = 36) -> str:
    """Shortens a name in its middle, because names of many features differ at their ends."""
    if len(label) <= longest:
        return label
    end = (longest - 1) // 2
    return f"{label[: longest - 1 - end]}…{label[-end:]}"


def count(number: float) -> str:
    """Formats a number of examples, `12,345` or `1.2 M`."""
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"
