"""The results of the entanglement analysis: contradictory pairs, their distances and separation in each space."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.analysis.embeddings.embedding_spaces import Space
from fullrank.analysis.embeddings.pair_distances import (
    Contradictory,
    Floats,
    Separation,
    best_separations,
    contradictory_pairs,
    label_difference,
    pair_distances,
    percentiles,
    separation,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distances:
    """The percentiles of all pairs in one space, and its separation of the contradictory pairs, for both tasks.

    `turned` means that near and far were exchanged, because in this space near pairs are the negatives.
    """

    run: str
    set: str
    percentiles: Floats
    separations: tuple[Separation, Separation]
    turned: bool


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Entanglement:
    """The result of an entanglement analysis.

    Attributes:
      tasks: The two tasks.
      pairs: `[P, 2]`, rows of users and items.
      chosen: The contradictory pairs.
      spaces: The spaces in the order of the runs; the first two are the tasks' own.
    """

    tasks: tuple[str, str]
    pairs: npt.NDArray[np.int64]
    chosen: Contradictory
    spaces: tuple[Distances, ...]

    def to_json(self) -> dict[str, Any]:
        """All numbers except the pairs."""
        runs = dict.fromkeys(space.run for space in self.spaces)
        best = {
            run: dict(
                zip(
                    self.tasks,
                    best_separations({s.set: s.separations for s in self.spaces if s.run == run}),
                    strict=True,
                )
            )
            for run in runs
        }
        return {
            "tasks": list(self.tasks),
            "pairs": len(self.pairs),
            "selected": dict(zip(self.tasks, (len(self.chosen.near_first), len(self.chosen.near_second)), strict=True)),
            "spaces": [
                {
                    "run": space.run,
                    "set": space.set,
                    "separation": self._of_tasks(space, "value"),
                    "p_value": self._of_tasks(space, "p_value"),
                    "turned": space.turned,
                }
                for space in self.spaces
            ],
            "best": best,
        }

    def _of_tasks(self, space: Distances, name: str) -> dict[str, float]:
        return {task: getattr(found, name) for task, found in zip(self.tasks, space.separations, strict=True)}

    def write_pairs(self, file: Path) -> None:
        """Writes the contradictory pairs: user and item rows, the task they are near in, one percentile per space."""
        places = np.concatenate([self.chosen.near_first, self.chosen.near_second])
        near = np.repeat(self.tasks, (len(self.chosen.near_first), len(self.chosen.near_second)))
        columns: dict[str, Any] = {
            "user_row": self.pairs[places, 0],
            "item_row": self.pairs[places, 1],
            "near_in": near.tolist(),
        }
        columns |= {f"{space.run}/{space.set}": space.percentiles[places] for space in self.spaces}
        pq.write_table(pa.table(columns), file)


def analyse_entanglement(
    spaces: Sequence[Space],
    *,
    tasks: tuple[str, str],
    pairs: npt.NDArray[np.int64],
    share: float,
    shown: tuple[npt.NDArray[np.int64], npt.NDArray[Any]] | None = None,
) -> Entanglement:
    """Selects the contradictory pairs by the first two spaces, and measures them in all spaces.

    Args:
      spaces: The first task's own, the second task's own, and any others.
      tasks: Names of the two tasks.
      pairs: `[P, 2]`, rows of users and items.
      share: As in `contradictory_pairs`.
      shown: Pairs that were shown, and their labels in both tasks: a space in which the positives are farther away is
        inverted, judged by the task that it separates best, or for the first two spaces by their own task. `None`
        inverts none.
    """
    turned = [False] * len(spaces) if shown is None else [_is_turned(s, n, shown) for n, s in enumerate(spaces)]
    found = [
        percentiles((-1.0 if back else 1.0) * pair_distances(space.users, space.items, pairs=pairs))
        for space, back in zip(spaces, turned, strict=True)
    ]
    chosen = contradictory_pairs(found[0], found[1], share=share)
    measured = tuple(
        Distances(
            run=space.run,
            set=space.set,
            percentiles=own,
            separations=(
                separation(own[chosen.near_first], own[chosen.near_second]),
                separation(own[chosen.near_second], own[chosen.near_first]),
            ),
            turned=back,
        )
        for space, own, back in zip(spaces, found, turned, strict=True)
    )
    return Entanglement(tasks=tasks, pairs=pairs, chosen=chosen, spaces=measured)


def _is_turned(space: Space, number: int, shown: tuple[npt.NDArray[np.int64], npt.NDArray[Any]]) -> bool:
    pairs, labels = shown
    distances = pair_distances(space.users, space.items, pairs=pairs)
    both = [label_difference(distances, labels[:, task]) for task in (0, 1)]
    return (both[number] if number < 2 else max(both, key=abs)) < 0
