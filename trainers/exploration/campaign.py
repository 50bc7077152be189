"""Policies that learn from a replayed campaign whose treatments were drawn evenly (Hillstrom; Li et al. 2011)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.analysis.figures.regret import draw_deviations, draw_rates
from fullrank.analysis.policies.off_policy import PolicyValue, on_policy_value, policy_values, value_difference
from fullrank.models.exploration import CountedProcess
from fullrank.models.exploration.counted_process import scores_of
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.logs import BanditLog, read_hillstrom
from fullrank.trainers.exploration.results import number, over_seeds, resumed, shown_and_deviation, written
from fullrank.trainers.studies.report import markdown

_RATE: Final = (1e-4, 1 - 1e-4)


Runs = Mapping[str, list[dict[str, Any]]]
Floats = npt.NDArray[np.float64]


def replay(log: BanditLog, policy: str, *, seed: int, rounds: int, epsilon: float) -> dict[str, Any]:
    """Shows a policy the log's rows in the order of a seed, in `rounds` equal parts.

    If the policy would take the logged action, it is told the reward; otherwise it learns nothing. As the action was
    drawn at random with probability p, the matching rows are those that the policy would have met in the world: the sum
    of their rewards over p, per row of the log, is an unbiased estimate of the reward of a policy that learns online,
    and their mean reward has less variance. In the first round nothing is known and all policies take the same random
    actions; the prior mean is the logit of that round's mean reward.

    Args:
      log: The log, whose propensities must all be equal.
      policy: Its name.
      seed: Seed of the order and of the policy's draws.
      rounds: Number of rounds; the policy learns after each.
      epsilon: Epsilon of `epsilon_greedy`.

    Returns:
      `matched`, positions of the rows that match; `rates`, their mean reward until each round; `shown` and `deviation`
      of each cell at the end.

    Raises:
      ValueError: If propensities differ, or there are fewer rows than rounds.
    """
    if np.ptp(log.propensity) > 1e-6:
        low, high = log.propensity.min(), log.propensity.max()
        raise ValueError(f"A replay needs actions that were drawn evenly. Received: propensities {low:g} to {high:g}.")
    if len(log.reward) < rounds:
        raise ValueError(f"A replay in {rounds} rounds needs as many rows. Received: {len(log.reward)}.")
    score = scores_of(policy, epsilon=epsilon)
    draw = np.random.default_rng((seed, 3))
    first, *later = np.array_split(draw.permutation(len(log.reward)), rounds)
    matched = [first[draw.integers(0, len(log.actions), len(first)) == log.action[first]]]
    rate = float(np.clip(log.reward[matched[0]].mean(), *_RATE)) if len(matched[0]) else 0.5
    process = CountedProcess(log.prior_covariance(), prior_mean=float(np.log(rate / (1 - rate))))
    for turn, rows in enumerate(later, start=1):
        if len(matched[-1]):
            process.observe(log.cells[matched[-1]], log.reward[matched[-1]])
        scores = score(process, log.offered(log.context[rows]), tf.constant([seed, turn], tf.int32))
        matched.append(rows[np.argmax(scores, axis=1) == log.action[rows]])
    if len(matched[-1]):
        process.observe(log.cells[matched[-1]], log.reward[matched[-1]])
    earned = np.cumsum([log.reward[rows].sum() for rows in matched])
    met = np.cumsum([len(rows) for rows in matched])
    return {
        "matched": np.concatenate(matched),
        "rates": earned / np.maximum(met, 1),
        "shown": process.shown,
        "deviation": np.sqrt(process.variance),
    }


def explore_hillstrom(config: ExploreConfig, *, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Replays the missing runs, and draws figures.

    Args:
      config: Policies, rounds, and seeds, one per order of the customers.
      settings: The settings that results in one directory share.

    Returns:
      Report, and its numbers.

    Raises:
      ValueError: If the file is malformed, or has fewer rows than rounds.
      FileNotFoundError: If there is no such file.
    """
    log = read_hillstrom(Path(str(config.raw_dir)))

    def compute(key: tuple[str | int, ...]) -> dict[str, Any]:
        found = replay(log, str(key[0]), seed=int(key[1]), rounds=config.rounds, epsilon=config.epsilon)
        taken = np.zeros(len(log.reward), bool)
        taken[found["matched"]] = True
        return {
            "taken": np.packbits(taken).tobytes().hex(),
            **{name: found[name].tolist() for name in ("rates", "shown", "deviation")},
        }

    directory, seeds = Path(config.output), range(config.first_seed, config.first_seed + config.seeds)
    keys = [(policy, seed) for seed in seeds for policy in config.policies]
    found = resumed(directory, settings=settings, keys=keys, compute=compute)
    runs: dict[str, list[dict[str, Any]]] = {
        policy: [found[policy, seed] for seed in seeds] for policy in config.policies
    }
    draw_rates(
        {policy: np.array([run["rates"] for run in own]) for policy, own in runs.items()},
        constant={name: value.value for name, value in arm_values(log).items()},
        path=directory / "rates.png",
    )
    draw_deviations(
        {policy: shown_and_deviation(own) for policy, own in runs.items()}, path=directory / "deviations.png"
    )
    return _report(log, runs, config=config)


def arm_values(log: BanditLog) -> dict[str, PolicyValue]:
    """The mean reward of always taking one logged action, from its rows; and of a random one."""
    found = {
        f"always {name}": on_policy_value(rewards=log.reward[log.action == k])
        for k, name in enumerate(log.actions)
        if (log.action == k).any()
    }
    return {**found, "any at random": on_policy_value(rewards=log.reward)}


def _report(log: BanditLog, runs: Runs, *, config: ExploreConfig) -> tuple[str, dict[str, Any]]:
    shares = {policy: _share_taken(own, len(log.reward)) for policy, own in runs.items()}
    base, chance = shares[config.baseline], _last(runs[config.baseline])
    rows: list[list[str]] = []
    numbers: dict[str, dict[str, Any]] = {}
    for policy, own in runs.items():
        values = policy_values(rewards=log.reward, logged=log.propensity, target=shares[policy])
        replayed = _with_orders(values["snips"], _last(own))
        unbiased = _with_orders(values["ips"], _last(own))
        cells = [policy, f"{shares[policy].sum():,.0f}", written(replayed.value, replayed, digits=4)]
        cells.append(written(unbiased.value, unbiased, digits=4))
        numbers[policy] = {
            "matched": float(shares[policy].sum()),
            "replay": number(replayed.value, replayed),
            "ips": number(unbiased.value, unbiased),
        }
        if policy == config.baseline:
            cells.append("")
        else:
            gap = value_difference(rewards=log.reward, logged=log.propensity, target=shares[policy], baseline=base)
            gap = _with_orders(gap, _last(own) - chance)
            cells.append(written(gap.value, gap, digits=4, sign=True))
            numbers[policy]["difference"] = number(gap.value, gap)
        rows.append(cells)
    arms = arm_values(log)
    numbers["constant"] = {name: number(value.value, value) for name, value in arms.items()}
    last = config.first_seed + config.seeds - 1
    text = (
        f"# Exploration on a replayed e-mail campaign\n\n{len(log.reward):,} customers in {config.rounds} rounds, in "
        f"{config.seeds} orders (seeds {config.first_seed} to {last}). The reward is a visit. Mean over orders; 95 % "
        "intervals are for other customers and other orders.\n\n"
        + markdown(
            ["policy", "rows that match", "visits a row", "the same by IPS", f"difference from {config.baseline}"], rows
        )
        + "\n\nWithout learning, from the rows of each treatment:\n\n"
        + markdown(["policy", "visits a row"], [[name, written(v.value, v, digits=4)] for name, v in arms.items()])
        + "\n"
    )
    return text, numbers


def _share_taken(runs: list[dict[str, Any]], rows: int) -> Floats:
    """`[N]`: the share of orders in which the policy took the logged action, an estimate of its probability."""
    taken = [np.unpackbits(np.frombuffer(bytes.fromhex(run["taken"]), np.uint8), count=rows) for run in runs]
    found: Floats = np.mean(taken, axis=0)
    return found


def _last(runs: list[dict[str, Any]]) -> Floats:
    return np.array([run["rates"][-1] for run in runs])


def _with_orders(value: PolicyValue, over_orders: Floats) -> PolicyValue:
    """Widens an interval over customers by the variance of orders, which is independent."""
    own, order = value.high - value.value, over_seeds(over_orders.tolist())
    reach = float(np.hypot(own, order.high - order.mean))
    return PolicyValue(value=value.value, low=value.value - reach, high=value.value + reach, effective=value.effective)
