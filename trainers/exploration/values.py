"""Estimates what policies that learned from one bandit's log would earn, from another bandit's log (Open Bandit)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.analysis.figures.regret import draw_deviations, draw_values
from fullrank.analysis.policies.off_policy import (
    PolicyValue,
    independent_difference,
    on_policy_value,
    policy_values,
    widened,
)
from fullrank.models.exploration import CountedProcess
from fullrank.models.exploration.counted_process import scores_of
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.logs import BanditLog, read_obd
from fullrank.trainers.exploration.results import Results, number, resumed, written
from fullrank.trainers.studies.report import markdown

Floats = npt.NDArray[np.float64]
UNIFORM: Final = "uniform"
"""Takes all actions equally often: both logs can estimate this policy's value, so that they test each other."""
_DRAWS: Final = 4_000
_PART: Final = 250
Processes = Mapping[tuple[str, str], CountedProcess]
Logs = Mapping[str, Mapping[str, BanditLog]]
_LOGGED: Final = "bts"
_OTHER: Final = {"bts": "random", "random": "bts"}
_HEADER: Final = ("campaign", "policy", "IPS", "SNIPS", "doubly robust", "effective rows", f"SNIPS - {_LOGGED}")


def learned(log: BanditLog) -> CountedProcess:
    """A Gaussian process over the cells of a log, fitted to all its rows; its prior mean is the log's mean reward.

    Raises:
      ValueError: If all rewards are equal.
    """
    rate = float(log.reward.mean())
    if not 0 < rate < 1:
        raise ValueError(f"Nothing can be learned from a log whose rewards are all {rate:g}.")
    process = CountedProcess(log.prior_covariance(), prior_mean=float(np.log(rate / (1 - rate))))
    process.observe(log.cells, log.reward)
    return process


def action_probabilities(process: CountedProcess, log: BanditLog, policy: str, *, seed: int, epsilon: float) -> Floats:
    """`[K, A]`: how often a policy takes each action in each context, out of 4,000 draws.

    Args:
      process: The policy's process.
      log: The log of contexts and actions.
      policy: Its name, or `UNIFORM`.
      seed: Seed of the draws.
      epsilon: Epsilon of `epsilon_greedy`.
    """
    number, actions = len(log.contexts), len(log.actions)
    if policy == UNIFORM:
        return np.full((number, actions), 1 / actions)
    score = scores_of(policy, epsilon=epsilon)
    taken = np.zeros((number, actions))
    for context in range(number):
        cells = log.offered(np.full(_PART, context))
        for part in range(_DRAWS // _PART):
            scores = score(process, cells, tf.constant([seed, context * 1_000 + part], tf.int32))
            taken[context] += np.bincount(np.argmax(scores, axis=1), minlength=actions)
    return taken / _DRAWS


def explore_obd(config: ExploreConfig, *, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Learns policies from either log of a campaign, and estimates their value from the other log.

    Args:
      config: Policies, and the seed of their draws.
      settings: The settings that results in one directory share.

    Returns:
      Report, and its numbers.

    Raises:
      ValueError: If a file is malformed, a log is missing or its rewards are all equal.
      FileNotFoundError: If there are no such files.
    """
    logs = read_obd(Path(str(config.raw_dir)))
    processes = {(name, teacher): learned(own[teacher]) for name, own in logs.items() for teacher in _OTHER}

    def compute(key: tuple[str | int, ...]) -> dict[str, Any]:
        campaign, teacher, policy, seed = str(key[0]), str(key[1]), str(key[2]), int(key[3])
        process, log = processes[campaign, teacher], logs[campaign][teacher]
        chances = action_probabilities(process, log, policy, seed=seed, epsilon=config.epsilon)
        return {"probabilities": chances.tolist()}

    directory, policies = Path(config.output), (*config.policies, UNIFORM)
    keys = [(*key, policy, config.first_seed) for key in processes for policy in policies]
    found = resumed(directory, settings=settings, keys=keys, compute=compute)
    values = {
        judge: {name: _values(own, judge, name=name, found=found, processes=processes) for name, own in logs.items()}
        for judge in ("random", "bts")
    }
    for judge, own in values.items():
        draw_values(
            {name: {policy: every["snips"] for policy, every in each.items()} for name, each in own.items()},
            own={name: (_LOGGED, on_policy_value(rewards=logs[name][_LOGGED].reward)) for name in own},
            title=f"Learned from {_OTHER[judge]}, valued by {judge}: SNIPS, 95 % interval",
            path=directory / f"values_by_{judge}.png",
        )
    draw_deviations(
        {f"learned from {teacher}": _shown_and_deviation(processes, teacher) for teacher in _OTHER},
        path=directory / "deviations.png",
    )
    return _report(logs, values)


def _shown_and_deviation(processes: Processes, teacher: str) -> tuple[Floats, Floats]:
    own = [process for (_, each), process in processes.items() if each == teacher]
    return (
        np.concatenate([process.shown for process in own]),
        np.concatenate([np.sqrt(process.variance) for process in own]),
    )


def _values(
    logs: Mapping[str, BanditLog], judge: str, *, name: str, found: Results, processes: Processes
) -> dict[str, dict[str, PolicyValue]]:
    """Estimates of all policies of a campaign, each learned from one log and valued by the other."""
    teacher, log = _OTHER[judge], logs[judge]
    believed: Floats = processes[name, teacher].probability.reshape(len(log.contexts), -1)
    estimates = {}
    for (campaign, learned_from, policy, _), result in found.items():
        if (campaign, learned_from) != (name, teacher):
            continue
        chances = np.array(result["probabilities"])
        target = chances[log.context, log.action]
        values = policy_values(
            rewards=log.reward,
            logged=log.propensity,
            target=target,
            model_logged=believed[log.context, log.action],
            model_target=np.sum(chances * believed, axis=1)[log.context],
        )
        own = {estimator: widened(value) for estimator, value in values.items()}
        gap = independent_difference(own["snips"], on_policy_value(rewards=logs[_LOGGED].reward))
        estimates[str(policy)] = {**own, "difference": gap}
    return estimates


def _report(
    logs: Logs, values: Mapping[str, Mapping[str, Mapping[str, Mapping[str, PolicyValue]]]]
) -> tuple[str, dict[str, Any]]:
    own = {
        name: {policy: on_policy_value(rewards=log.reward) for policy, log in each.items()}
        for name, each in logs.items()
    }
    parts = [
        "# Off-policy estimates on the Open Bandit Dataset\n\nClicks per impression, with 95 % intervals: of estimates "
        "the wider of the rows' spread and Wilson's from the effective rows, of differences as of independent logs. "
        "The policies that made the logs, by their own clicks:"
    ]
    rows = []
    for name, each in own.items():
        for policy, value in each.items():
            clicks = logs[name][policy].reward
            rows.append(
                [name, policy, f"{len(clicks):,}", f"{clicks.sum():.0f}", written(value.value, value, digits=4)]
            )
    parts.append(markdown(["campaign", "policy", "rows", "clicks", "clicks a row"], rows))
    for judge, campaigns in values.items():
        parts.append(f"Policies that learned from the log of {_OTHER[judge]}, valued by that of {judge}:")
        rows = []
        for name, policies in campaigns.items():
            for policy, found in policies.items():
                cells = [written(found[each].value, found[each], digits=4) for each in ("ips", "snips", "dr")]
                gap = written(found["difference"].value, found["difference"], digits=4, sign=True)
                rows.append([name, policy, *cells, f"{found['ips'].effective:,.0f}", gap])
        parts.append(markdown(_HEADER, rows))
    numbers: dict[str, Any] = {"own": {name: _numbers(each) for name, each in own.items()}}
    for judge, campaigns in values.items():
        numbers[f"valued_by_{judge}"] = {
            name: {
                policy: {**_numbers(found), "effective": found["ips"].effective} for policy, found in policies.items()
            }
            for name, policies in campaigns.items()
        }
    return "\n\n".join(parts) + "\n", numbers


def _numbers(values: Mapping[str, PolicyValue]) -> dict[str, Any]:
    return {name: number(value.value, value) for name, value in values.items()}
