"""The finished runs of a variant: those that chose its rate, and those that were trained with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fullrank.trainers.controls.plan import TUNING_SEEDS, Control, Side


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """The runs of one variant on one side, without those that failed.

    Attributes:
      tuned: Seed of a tuning world and rate -> what the run came to, by `Control.tuned_by`.
      rate: The rate that they chose; `None` while one is missing.
      runs: Seed and rate -> the line of a run outside those worlds. With another choice, older runs have other rates.
    """

    tuned: Mapping[tuple[int, float], float]
    rate: float | None
    runs: Mapping[tuple[int, float], Mapping[str, Any]]

    @property
    def with_rate(self) -> dict[int, Mapping[str, Any]]:
        """Seed -> the line of the run with the chosen rate."""
        return {seed: line for (seed, rate), line in self.runs.items() if rate == self.rate}


def finished_runs(control: Control, *, side: Side, variant: str, results: Sequence[Mapping[str, Any]]) -> Finished:
    """Those among the lines of results that belong to a variant and to its plan."""
    mine = {
        (line["seed"], line["rate"]): line
        for line in results
        if (line["control"], line["side"], line["variant"]) == (control.name, side, variant)
        and line["plan"] == control.digest(side, variant)
        and "error" not in line
    }
    tuned = {run: line["values"][control.tuned_by] for run, line in mine.items() if run[0] in TUNING_SEEDS}
    runs = {run: line for run, line in mine.items() if run[0] not in TUNING_SEEDS}
    return Finished(tuned=tuned, rate=control.best_rate(tuned), runs=runs)
