"""The figure of feature importance: how much worse predictions get without each feature."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.figures.style import BLUE, GREY, figure, shortened


def importance_bars(
    *, importance: Mapping[str, Mapping[str, float]], task: str, path: str | os.PathLike[str], max_bars: int = 40
) -> None:
    """Draws one bar per feature with its interval, the most important on top; grey where the interval contains zero.

    Args:
      importance: Feature -> `increase` of NE in percent, and half the width of its interval, `reach`.
      task: name for the title.
      path: the file to write.
      max_bars: how many features to draw at most; the title says if some are left out.
    """
    ranked = sorted(importance.items(), key=lambda item: -item[1]["increase"])
    drawn = ranked[:max_bars]
    with figure(path=path, width=7.5, height=1.3 + 0.27 * len(drawn)) as axes:
        for place, (_, found) in enumerate(drawn):
            known = abs(found["increase"]) > found["reach"]
            axes.barh(place, found["increase"], height=0.7, color=BLUE if known else GREY)
            low, high = found["increase"] - found["reach"], found["increase"] + found["reach"]
            axes.plot([low, high], [place, place], color=GREY, linewidth=1.2)
        axes.axvline(0.0, color=GREY, linewidth=1.0)
        axes.set_yticks(range(len(drawn)), [shortened(name) for name, _ in drawn], fontsize=9)
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("increase of NE when the feature is permuted [%], 95 % interval")
        some = f", the first {max_bars} of {len(ranked)}" if len(ranked) > max_bars else ""
        axes.set_title(f"Feature importance of {task}{some}")
