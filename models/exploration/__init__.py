"""From a logit with its uncertainty to a score that explores (Tencent §6.4)."""

from __future__ import annotations

from fullrank.models.exploration.counted_process import CountedProcess
from fullrank.models.exploration.ensembles import ensemble_logits
from fullrank.models.exploration.joint import joint_thompson
from fullrank.models.exploration.policies import POLICIES, Policy, epsilon_greedy, greedy, thompson, ucb

__all__ = [
    "POLICIES",
    "CountedProcess",
    "Policy",
    "ensemble_logits",
    "epsilon_greedy",
    "greedy",
    "joint_thompson",
    "thompson",
    "ucb",
]
