"""Relative information abundance of many tables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, count, figure, shortened


def abundance_bars(
    *,
    abundance: Mapping[str, tuple[float, float, int]],
    title: str,
    path: str | os.PathLike[str],
    max_bars: int = 60,
) -> None:
    """Draws one bar a table, the most collapsed on top, with their mean as a line.

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
        # The numbers stand in a column of their own, where no line crosses them.
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
