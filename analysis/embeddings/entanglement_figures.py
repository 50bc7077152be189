"""The distances of contradictory pairs in every embedding set, one panel per set."""

from __future__ import annotations

import os
from typing import Final

from fullrank.analysis.embeddings.entanglement_results import Entanglement
from fullrank.analysis.figures.style import BLUE, ORANGE, panels

_ACROSS: Final = 3
_BINS: Final = 25


def draw_pair_distances(found: Entanglement, *, path: str | os.PathLike[str]) -> None:
    """Draws, for each space, the distances of pairs that are near in the first task, and of those near in the second.

    In a task's own space the two are at opposite ends. A space shared by both tasks can show at most one of the two
    pictures, and often shows neither.

    Args:
      found: The analysis.
      path: The PNG to write.
    """
    first, second = found.tasks
    selected = ((found.chosen.near_first, first, BLUE), (found.chosen.near_second, second, ORANGE))
    rows = -(-len(found.spaces) // _ACROSS)
    with panels(path=path, rows=rows, columns=_ACROSS, width=3.6 * _ACROSS, height=2.3 * rows + 0.8) as grid:
        for axes, space in zip(grid, found.spaces, strict=False):
            for places, task, colour in selected:
                shown = space.percentiles[places]
                axes.hist(
                    shown, bins=_BINS, range=(0, 1), density=True, alpha=0.6, color=colour, label=f"near in {task}"
                )
            values = ", ".join(
                f"{task} {own.value:.2f}" for task, own in zip(found.tasks, space.separations, strict=True)
            )
            axes.set_title(f"{space.run} / {space.set}: {values}", fontsize=9)
            axes.set_yticks([])
            axes.tick_params(labelbottom=True)
        for axes in grid[len(found.spaces) :]:
            axes.set_axis_off()
        for axes in grid[max(0, len(found.spaces) - _ACROSS) : len(found.spaces)]:
            axes.set_xlabel("cosine distance, percentile among all pairs", fontsize=9)
        grid[0].figure.suptitle(
            "Contradictory pairs by distance; numbers: separation of the pairs in each set, per task"
        )
        grid[0].legend(fontsize=8)
