"""Runs policies over seeds, and reports what exploration earned."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from fullrank.analysis.figures.regret import draw_deviations, draw_regret
from fullrank.analysis.paired import paired_difference
from fullrank.trainers.explore_config import ExploreConfig
from fullrank.trainers.explore_simulation import platform_of, simulate
from fullrank.trainers.study_report import markdown

RESULTS: Final = "results.jsonl"
REPORT: Final = "report.md"
_OPERATIONAL: Final = ("output", "policies", "baseline", "first_seed", "seeds")
_TITLES: Final = {
    "regret": "cumulative regret",
    "revenue": "revenue",
    "new_share": "new ads shown",
    "ranked_share": "new ads at their true rank",
}
Results = Mapping[str, Mapping[int, Mapping[str, Any]]]


def explore_run(config: ExploreConfig) -> Results:
    """Simulates what is missing, and writes report and figures.

    Returns:
      Policy -> seed -> what `simulate` gives, with the last regret as `regret` and all of them as `regrets`.

    Raises:
      ValueError: If the output holds results of other settings.
    """
    directory = Path(config.output)
    directory.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(config).items() if name not in _OPERATIONAL}
    _check_settings(directory / "settings.json", settings)
    file = directory / RESULTS
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    found = _read(file)
    missing = [(seed, policy) for seed in seeds for policy in config.policies if seed not in found.get(policy, {})]
    with file.open("a", encoding="utf-8") as lines:
        for seed, policy in tqdm(missing, desc="exploring", unit="run", mininterval=1.0):
            result = simulate(platform_of(config, seed=seed), policy, seed=seed, epsilon=config.epsilon)
            lines.write(json.dumps({"policy": policy, "seed": seed, **result}) + "\n")
            lines.flush()
    found = _read(file)
    chosen: dict[str, dict[int, dict[str, Any]]] = {
        policy: {seed: found[policy][seed] for seed in seeds} for policy in config.policies
    }
    regrets: dict[str, np.ndarray[Any, Any]] = {
        policy: np.array([run["regrets"] for run in runs.values()]) for policy, runs in chosen.items()
    }
    draw_regret(regrets, path=directory / "regret.png")
    draw_deviations(
        {
            policy: (
                np.concatenate([run["shown"] for run in runs.values()]),
                np.concatenate([run["deviation"] for run in runs.values()]),
            )
            for policy, runs in chosen.items()
        },
        path=directory / "deviations.png",
    )
    text = report(chosen, baseline=config.baseline, config=config)
    aside = directory / f"{REPORT}.writing-{os.getpid()}"
    aside.write_text(text, encoding="utf-8")
    aside.replace(directory / REPORT)
    print(text)
    return chosen


def report(results: Results, *, baseline: str, config: ExploreConfig) -> str:
    """A table of all policies: mean and 95 % interval over seeds, and the paired difference from the baseline."""
    rows = []
    for policy, runs in results.items():
        cells = [policy, str(len(runs))]
        for name in _TITLES:
            values = _values(runs, name)
            if len(values) < 2:
                cells.append("-")
                continue
            own = paired_difference(values=values, baseline=[0.0] * len(values))
            text = f"{_short(own.mean)} [{_short(own.low)}, {_short(own.high)}]"
            others = _values(results[baseline], name)
            if policy != baseline and len(others) == len(values):
                gap = paired_difference(values=values, baseline=others)
                text += (
                    f" ({_short(gap.mean, sign=True)} [{_short(gap.low, sign=True)}, {_short(gap.high, sign=True)}])"
                )
            cells.append(text)
        rows.append(cells)
    last = config.first_seed + config.seeds - 1
    return (
        f"# Exploration on a simulated platform\n\nSeeds {config.first_seed} to {last}, {config.rounds} rounds of "
        f"{config.requests} requests with {config.candidates} candidates. Mean over seeds and its 95 % interval; in "
        f"parentheses the paired difference from {baseline}. Regret and revenue are in units of the median bid.\n\n"
        + markdown(["policy", "runs", *_TITLES.values()], rows)
        + "\n"
    )


def _values(runs: Mapping[int, Mapping[str, Any]], name: str) -> Sequence[float]:
    return [float(run[name]) for run in runs.values() if run[name] is not None]


def _short(value: float, *, sign: bool = False) -> str:
    digits = 0 if abs(value) >= 10 else 3
    return f"{value:{'+' if sign else ''},.{digits}f}"


def _read(file: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Results by policy and seed; a line that a stopped run left half-written is dropped."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    if not file.exists():
        return found
    whole = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        whole.append(line)
        entry["regrets"] = entry["regret"]
        entry["regret"] = entry["regrets"][-1]
        found.setdefault(entry["policy"], {})[entry["seed"]] = entry
    file.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return found


def _check_settings(file: Path, settings: dict[str, Any]) -> None:
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(name for name in settings if before.get(name) != settings[name])
        if changed:
            listed = ", ".join(f"--{name}={before.get(name)}" for name in changed)
            raise ValueError(f"{file.parent} holds results of other settings, {listed}: take another --output.")
        return
    file.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
