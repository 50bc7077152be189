"""Replays a log whose actions were drawn at random to policies that learn on the way (Li et al. 2011)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.models.exploration import CountedProcess
from fullrank.trainers.exploration.logs import BanditLog
from fullrank.trainers.exploration.scores import scores_of

_RATE: Final = (1e-4, 1 - 1e-4)


def replay(log: BanditLog, policy: str, *, seed: int, rounds: int, epsilon: float) -> dict[str, Any]:
    """Shows a policy the log's rows in the order of a seed, in `rounds` equal parts.

    Where the policy would take the action that was taken, it is told the reward; the others it never learns of. As the
    action was drawn at random with probability p, the rows that match are what the policy would have met in the world:
    the sum of their rewards over p, a row of the log, is without bias the reward of a policy that learns on the way,
    and their mean reward is nearer to it. In the first round nothing is known and all policies take the same random
    actions; the prior mean is the logit of what that round earned.

    Args:
      log: Its propensities must all be the same.
      policy: Name.
      seed: Of the order and of the policy's draws.
      rounds: After each the policy learns.
      epsilon: Of `epsilon_greedy`.

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
    for number, rows in enumerate(later, start=1):
        if len(matched[-1]):
            process.observe(log.cells[matched[-1]], log.reward[matched[-1]])
        scores = score(process, log.offered(log.context[rows]), tf.constant([seed, number], tf.int32))
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
