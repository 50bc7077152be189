"""Policies on simulated platforms over seeds: regret, revenue, and the share of new ads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.analysis.comparisons.paired import paired_difference
from fullrank.analysis.figures.regret import draw_deviations, draw_regret
from fullrank.models.exploration import CountedProcess
from fullrank.models.exploration.counted_process import scores_of
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.platform import AdPlatform, PlatformConfig
from fullrank.trainers.exploration.results import number, over_seeds, resumed, shown_and_deviation, written
from fullrank.trainers.studies.report import markdown

AMPLITUDE: Final = 1.5
"""Prior standard deviation of a cell's logit."""
_BETWEEN_SEGMENTS, _BETWEEN_ADS, _OF_CONTENT = 0.98, 1.28, 0.36
_NEAR: Final = 0.1
"""A new ad has reached its true rank if its percentile is off by no more than this."""


_TITLES: Final = {
    "regret": "cumulative regret",
    "revenue": "revenue",
    "new_share": "new ads shown",
    "ranked_share": "new ads at their true rank",
}
Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]


def platform_of(config: ExploreConfig, *, seed: int) -> AdPlatform:
    """The platform of a seed."""
    names = (
        "rounds", "requests", "candidates", "first_ads", "new_ads", "lifetime", "segments", "base_rate", "appeal",
        "quality",
    )  # fmt: skip
    return AdPlatform(PlatformConfig(**{name: getattr(config, name) for name in names}), seed=seed)


def simulate(platform: AdPlatform, policy: str, *, seed: int, epsilon: float) -> dict[str, Any]:
    """Runs a policy through all rounds.

    Args:
      platform: The world, which is not changed.
      policy: Its name.
      seed: Seed of the policy's draws.
      epsilon: Epsilon of `epsilon_greedy`.

    Returns:
      `regret` (cumulative, after each round, in expected revenue), `revenue` (of the clicks), `new_share` (of shown
      ads), `ranked_share` (of the new ads that reach their true rank), and `shown` and `deviation` of each cell at the
      end.
    """
    config, score = platform.config, scores_of(policy, epsilon=epsilon)
    process = CountedProcess(
        prior_covariance(platform), prior_mean=float(np.log(config.base_rate / (1 - config.base_rate)))
    )
    regret, revenue, new, ranked = [], 0.0, 0, []
    for turn in range(config.rounds):
        requests = platform.requests(turn)
        cells = requests.candidates * config.segments + requests.segments[:, np.newaxis]
        if turn == 0:
            # Nothing is known yet: all policies start from the same draw.
            scores = np.random.default_rng((seed, 2)).standard_normal(cells.shape)
        else:
            scores = score(process, cells, tf.constant([seed, turn], tf.int32))
        bids = platform.bids[requests.candidates]
        picked = np.argmax(bids / (1 + np.exp(-scores)), axis=1)[:, np.newaxis]
        rates = platform.rates[requests.candidates, requests.segments[:, np.newaxis]]
        worth = rates * bids
        regret.append(float(np.sum(worth.max(axis=1) - np.take_along_axis(worth, picked, 1)[:, 0])))
        clicks = np.take_along_axis((requests.luck < rates).astype(np.float64), picked, 1)[:, 0]
        revenue += float(np.sum(clicks * np.take_along_axis(bids, picked, 1)[:, 0]))
        new += int(platform.is_new[np.take_along_axis(requests.candidates, picked, 1)].sum())
        process.observe(np.take_along_axis(cells, picked, 1)[:, 0], clicks)
        ranked += _ranked(platform, process, turn)
    return {
        "regret": np.cumsum(regret).tolist(),
        "revenue": revenue,
        "new_share": new / (config.rounds * config.requests),
        "ranked_share": float(np.mean(ranked)) if ranked else None,
        "shown": process.shown.tolist(),
        "deviation": np.sqrt(process.variance).tolist(),
    }


def prior_covariance(platform: AdPlatform) -> npt.NDArray[np.float64]:
    """`[A G, A G]` of the cells, ad by ad: an RBF kernel over segment, ad and content."""
    segments = platform.config.segments
    content = platform.content / np.sqrt(platform.config.content)
    apart = np.sum((content[:, np.newaxis] - content) ** 2, axis=2) * _OF_CONTENT
    apart += _BETWEEN_ADS * (1 - np.eye(len(content)))
    squared = np.kron(apart, np.ones((segments, segments)))
    squared += _BETWEEN_SEGMENTS * np.kron(np.ones_like(apart), 1 - np.eye(segments))
    found: npt.NDArray[np.float64] = AMPLITUDE**2 * np.exp(-0.5 * squared) + 1e-6 * np.eye(len(squared))
    return found


def _ranked(platform: AdPlatform, process: CountedProcess, number: int) -> list[bool]:
    """For each new ad in its last round, whether it is ranked near its true position among the active ads."""
    config = platform.config
    last = number == config.rounds - 1
    ads = np.flatnonzero(platform.active(number))
    leaving = platform.is_new[ads] & (last | (platform.arrival[ads] + config.lifetime == number + 1))
    if not leaving.any():
        return []
    believed = process.mean.reshape(-1, config.segments)[ads].mean(axis=1)
    true = np.log(platform.rates[ads] / (1 - platform.rates[ads])).mean(axis=1)
    places = [np.argsort(np.argsort(values)) / max(1, len(ads) - 1) for values in (believed, true)]
    near: list[bool] = (np.abs(places[0] - places[1]) <= _NEAR)[leaving].tolist()
    return near


def explore_simulator(config: ExploreConfig, *, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Simulates the missing runs, and draws figures.

    Args:
      config: Platform, policies and seeds.
      settings: The settings that results in one directory share.

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
    """One value per seed: the final regret, and the shares that are defined."""
    values = [run[name][-1] if name == "regret" else run[name] for run in runs.values()]
    return [float(value) for value in values if value is not None]
