"""Policies on simulated platforms over seeds: regret, revenue, and what becomes of new ads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.comparisons.paired import paired_difference
from fullrank.analysis.figures.regret import draw_deviations, draw_regret
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.results import resumed, shown_and_deviation
from fullrank.trainers.explore_simulation import platform_of, simulate
from fullrank.trainers.explore_table import number, over_seeds, written
from fullrank.trainers.studies.report import markdown

_TITLES: Final = {
    "regret": "cumulative regret",
    "revenue": "revenue",
    "new_share": "new ads shown",
    "ranked_share": "new ads at their true rank",
}
Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]


def explore_simulator(config: ExploreConfig, *, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Simulates what is missing, and draws figures.

    Args:
      config: Platform, policies and seeds.
      settings: What results in one directory have in common.

    Returns:
      Report, and its numbers.
    """

    def compute(key: tuple[str | int, ...]) -> dict[str, Any]:
        policy, seed = str(key[0]), int(key[1])
        return simulate(platform_of(config, seed=seed), policy, seed=seed, epsilon=config.epsilon)

    directory, seeds = Path(config.output), range(config.first_seed, config.first_seed + config.seeds)
    keys = [(policy, seed) for seed in seeds for policy in config.policies]
    found = resumed(directory, settings=settings, keys=keys, compute=compute)
    runs: Runs = {policy: {seed: found[policy, seed] for seed in seeds} for policy in config.policies}
    draw_regret(
        {policy: np.array([run["regret"] for run in own.values()]) for policy, own in runs.items()},
        path=directory / "regret.png",
    )
    draw_deviations(
        {policy: shown_and_deviation(own.values()) for policy, own in runs.items()}, path=directory / "deviations.png"
    )
    return _report(runs, config=config)


def _report(runs: Runs, *, config: ExploreConfig) -> tuple[str, dict[str, Any]]:
    """A table of all policies: mean and 95 % interval over seeds, and the paired difference from the baseline."""
    rows: list[list[str]] = []
    numbers: dict[str, dict[str, Any]] = {}
    for policy, own in runs.items():
        cells, numbers[policy] = [policy, str(len(own))], {"seeds": len(own)}
        for name in _TITLES:
            values, others = _values(own, name), _values(runs[config.baseline], name)
            if len(values) < 2:
                cells.append("-")
                continue
            mean = over_seeds(values)
            text = written(mean.mean, mean)
            numbers[policy][name] = number(mean.mean, mean)
            if policy != config.baseline and len(others) == len(values):
                gap = paired_difference(values=values, baseline=others)
                text += f" ({written(gap.mean, gap, sign=True)})"
                numbers[policy][f"{name}_difference"] = number(gap.mean, gap)
            cells.append(text)
        rows.append(cells)
    last = config.first_seed + config.seeds - 1
    text = (
        f"# Exploration on a simulated platform\n\nSeeds {config.first_seed} to {last}, {config.rounds} rounds of "
        f"{config.requests} requests with {config.candidates} candidates. Mean over seeds and its 95 % interval; in "
        f"parentheses the paired difference from {config.baseline}. Regret and revenue are in units of the median bid."
        "\n\n" + markdown(["policy", "runs", *_TITLES.values()], rows) + "\n"
    )
    return text, numbers


def _values(runs: Mapping[int, Mapping[str, Any]], name: str) -> list[float]:
    """One a seed: of regret the last one, of shares those that have a meaning."""
    values = [run[name][-1] if name == "regret" else run[name] for run in runs.values()]
    return [float(value) for value in values if value is not None]
