"""Scores of a policy for the candidates of requests, from a Gaussian process over cells."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.models.exploration import POLICIES, CountedProcess, joint_thompson

Scores = Callable[[CountedProcess, npt.NDArray[np.int64], tf.Tensor], npt.NDArray[np.float64]]


def scores_of(policy: str, *, epsilon: float) -> Scores:
    """How a policy scores.

    Args:
      policy: A name of `POLICIES`, or `joint_thompson`.
      epsilon: Epsilon of `epsilon_greedy`.

    Returns:
      A function of the process, of cells `[R, C]` (the candidates of each request), and of a seed, two integers; it
      returns scores `[R, C]` in logits.
    """
    if policy == "joint_thompson":

        def joint(process: CountedProcess, cells: npt.NDArray[np.int64], seed: tf.Tensor) -> npt.NDArray[np.float64]:
            drawn = joint_thompson(
                mean=tf.constant(process.mean[cells]), covariance=tf.constant(process.covariance(cells)), seed=seed
            )
            return np.asarray(drawn.numpy(), np.float64)

        return joint
    chosen: Any = POLICIES[policy]
    if policy == "epsilon_greedy":
        chosen = functools.partial(chosen, epsilon=epsilon)

    def alone(process: CountedProcess, cells: npt.NDArray[np.int64], seed: tf.Tensor) -> npt.NDArray[np.float64]:
        mean, variance = (tf.constant(each[cells], tf.float32) for each in (process.mean, process.variance))
        return np.asarray(chosen(mean=mean, variance=variance, seed=seed).numpy(), np.float64)

    return alone
