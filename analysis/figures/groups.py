"""Figures of learned groups: how evenly the codes are used, and what characterises the largest groups ([Meta] §3.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, figure, shortened

_COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "black", GREY)


class Bar(NamedTuple):
    """A value that is more frequent in a group than overall."""

    group: str
    label: str
    share: float
    overall: float


def usage_lines(*, shares: Sequence[npt.ArrayLike], place: str, path: str | os.PathLike[str]) -> None:
    """Draws the sorted shares of the codes, one line per level.

    Args:
        shares: `[C]` for each level.
        place: where the groups were learned, for the title.
        path: the PNG to write.
    """
    with figure(path=path, width=6.5, height=4.0) as axes:
        most = 0
        for number, (color, level) in enumerate(zip(_COLORS, shares, strict=False), 1):
            ordered = np.sort(np.asarray(level, np.float64))[::-1]
            most = max(most, len(ordered))
            used = ordered[ordered > 0]
            label = f"level {number}: {len(used)} of {len(ordered)} used"
            axes.plot(np.arange(1, len(used) + 1), 100 * used, color=color, marker="o", markersize=3, label=label)
        axes.axhline(100 / most, color=GREY, linewidth=1.2, linestyle="--", label="equal use")
        axes.set_yscale("log")
        axes.set_xlabel("code, the most frequent first")
        axes.set_ylabel("% of examples")
        axes.legend(loc="lower left")
        axes.set_title(f"Use of the codes, {place}")


def meaning_bars(*, bars: Sequence[Bar], sizes: Mapping[str, float], place: str, path: str | os.PathLike[str]) -> None:
    """Draws the values that distinguish the largest groups: their share within the group, and their share overall.

    Args:
        bars: the values, in the order of the groups.
        sizes: group -> share of the examples.
        place: where the groups were learned, for the title.
        path: the PNG to write.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not bars:
        raise ValueError(f"no figure of the groups of {place!r}: no feature value distinguishes one")
    rows, ticks, labels, heads = [], [], [], []
    place_of_row = 0.0
    for number, bar in enumerate(bars):
        if number and bar.group != bars[number - 1].group:
            place_of_row += 0.9
        if not number or bar.group != bars[number - 1].group:
            heads.append((place_of_row, bar.group))
        rows.append(place_of_row)
        ticks.append(place_of_row)
        labels.append(shortened(bar.label, longest=40))
        place_of_row += 1.0
    with figure(path=path, width=8.0, height=1.2 + 0.24 * place_of_row) as axes:
        axes.barh(rows, [100 * bar.share for bar in bars], height=0.75, color=BLUE, label="within the group")
        axes.plot([100 * bar.overall for bar in bars], rows, "|", color=ORANGE, markersize=11, markeredgewidth=2.2,
                  label="overall")  # fmt: skip
        axes.set_yticks(ticks, labels)
        axes.invert_yaxis()
        for row, group in heads:
            text = f"group {group}, {100 * sizes[group]:.1f} % of all"
            axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of examples that have the value")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, -0.02))
        axes.set_title(f"What distinguishes the largest groups, {place}")
