"""Figures of many tables: relative information abundance, and singular spectra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, count, figure, shortened

FLOOR: Final = -3.0
"""log10 of the smallest share of sigma_1 that the colours distinguish from 0."""


def abundance_bars(
    *,
    abundance: Mapping[str, tuple[float, float, int]],
    title: str,
    path: str | os.PathLike[str],
    max_bars: int = 60,
) -> None:
    """Draws one bar per table, the most collapsed on top, with their mean as a line.

    Args:
        abundance: name of a table -> IA / min(N, d), IA and the number of rows that counted.
        title: what the tables belong to.
        path: the PNG to write.
        max_bars: how many tables to draw at most; the title says if some are left out.

    Raises:
        ValueError: if there is no table.
    """
    if not abundance:
        raise ValueError(f"no figure of the information abundance of {title}: there is no table")
    ranked = sorted(abundance.items(), key=lambda item: (item[1][0], item[0]))
    drawn = ranked[:max_bars]
    mean = sum(entry[0] for entry in abundance.values()) / len(abundance)
    with figure(path=path, width=7.5, height=1.7 + 0.27 * len(drawn)) as axes:
        places = range(len(drawn))
        axes.barh(places, [entry[0] for _, entry in drawn], height=0.7, color=BLUE)
        # The numbers are in a separate column, where no line crosses them.
        for place, (_, (relative, absolute, _)) in enumerate(drawn):
            axes.annotate(
                f"{relative:.2f}  (IA {absolute:.1f})",
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                color=GREY if relative == 0 else "black",
            )
        axes.axvline(mean, color=ORANGE, linewidth=1.4, linestyle="--", label=f"mean of the tables: {mean:.2f}")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
        axes.set_yticks(places, [f"{shortened(name)}  ({count(entry[2])})" for name, entry in drawn], fontsize=9)
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        axes.set_ylabel("table (rows)")
        axes.set_xlabel("IA / min(N, d):  0 collapsed, 1 isotropic")
        some = f", the {max_bars} most collapsed of {len(ranked)}" if len(ranked) > max_bars else ""
        axes.set_title(f"Information abundance, {title}{some}", pad=22)


def spectra_heatmap(
    *,
    spectra: Mapping[str, np.ndarray[Any, Any]],
    title: str,
    path: str | os.PathLike[str],
    max_rows: int = 60,
) -> None:
    """Draws one row per table and one column per singular value; the colour is log10 of sigma_k / sigma_1.

    A table that uses all its dimensions equally is light from left to right; one that has collapsed turns dark early.
    Rows are blank beyond min(N, d). The table with the smallest IA / min(N, d), the mean of its row, is on top.

    Args:
        spectra: Label of each table -> its singular values, largest first.
        title: what the tables belong to.
        path: the PNG to write.
        max_rows: how many tables to draw at most; the title says if some are left out.

    Raises:
        ValueError: if no table has a singular value.
    """
    shares = {name: _shares(values) for name, values in spectra.items() if len(values)}
    if not shares:
        raise ValueError(f"no figure of the spectra of {title}: no table has a singular value")
    ranked = sorted(shares.items(), key=lambda item: (float(np.mean(item[1])), item[0]))
    drawn = ranked[:max_rows]
    columns = max(len(values) for _, values in drawn)
    picture = np.full((len(drawn), columns), np.nan)
    for place, (_, values) in enumerate(drawn):
        picture[place, : len(values)] = np.log10(np.maximum(values, 10.0**FLOOR))
    with figure(path=path, width=8.0, height=1.6 + 0.26 * max(4, len(drawn))) as axes:
        image = axes.imshow(picture, cmap="viridis", vmin=FLOOR, vmax=0.0, aspect="auto", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_yticks(range(len(drawn)), [shortened(name) for name, _ in drawn], fontsize=9)
        step = max(1, round(columns / 16))
        ticks = sorted({0, *range(step - 1, columns, step)})
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        axes.set_xlabel("k, number of the singular value")
        bar = axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
        bar.set_ticks([-3, -2, -1, 0], labels=["≤ 0.001", "0.01", "0.1", "1"])
        bar.set_label(r"$\sigma_k\,/\,\sigma_1$")
        some = f", the {max_rows} most collapsed of {len(ranked)}" if len(ranked) > max_rows else ""
        axes.set_title(f"Singular values, {title}{some}")


def _shares(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    largest = float(np.max(values))
    shares: np.ndarray[Any, Any] = np.asarray(values, np.float64) / (largest if largest > 0 else 1.0)
    return shares
