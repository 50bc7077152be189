"""What a policy that learned from one bandit's log would earn, estimated from another one's."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.models.exploration import CountedProcess
from fullrank.trainers.exploration.logs import BanditLog
from fullrank.trainers.exploration.scores import scores_of

Floats = npt.NDArray[np.float64]
UNIFORM: Final = "uniform"
"""Any action as often as another: a policy whose value both logs can tell, so that they test each other."""
_DRAWS: Final = 4_000
_PART: Final = 250


def learned(log: BanditLog) -> CountedProcess:
    """A Gaussian process over the cells of a log, told all its rows; its prior mean is the log's mean reward.

    Raises:
      ValueError: If all rewards are alike.
    """
    rate = float(log.reward.mean())
    if not 0 < rate < 1:
        raise ValueError(f"Nothing can be learned from a log whose rewards are all {rate:g}.")
    process = CountedProcess(log.prior_covariance(), prior_mean=float(np.log(rate / (1 - rate))))
    process.observe(log.cells, log.reward)
    return process


def action_probabilities(process: CountedProcess, log: BanditLog, policy: str, *, seed: int, epsilon: float) -> Floats:
    """`[K, A]`: how often a policy takes each action in each context, of 4,000 draws.

    Args:
      process: What the policy knows.
      log: Whose contexts and actions.
      policy: Name, or `UNIFORM`.
      seed: Of the draws.
      epsilon: Of `epsilon_greedy`.
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
