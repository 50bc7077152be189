"""Turns a logit with its uncertainty into a score that explores ([Tencent] §6.4).

May import: layers.
"""

from __future__ import annotations

from fullrank.models.exploration.counted_process import CountedProcess
from fullrank.models.exploration.natural_gradient import binomial, fit_posterior, gaussian, natural_step
from fullrank.models.exploration.policies import (
    POLICIES,
    Policy,
    ensemble_logits,
    epsilon_greedy,
    greedy,
    joint_thompson,
    thompson,
    ucb,
)

__all__ = [
    "POLICIES",
    "CountedProcess",
    "Policy",
    "binomial",
    "ensemble_logits",
    "epsilon_greedy",
    "fit_posterior",
    "gaussian",
    "greedy",
    "joint_thompson",
    "natural_step",
    "thompson",
    "ucb",
]
