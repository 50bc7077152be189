"""Fixed weights of the tasks' losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

TaskWeights = tuple[tuple[str, float], ...] | Literal["uncertainty"]


def task_shares(given: TaskWeights, *, tasks: Sequence[str]) -> np.ndarray[Any, Any]:
    """The share of each task in the loss, `[T]`, of sum 1, so that weights leave the scale of the loss alone.

    Args:
      given: Pairs of task and weight; a task that is not named weighs 1. Nothing is fixed with `uncertainty`.
      tasks: T of them.

    Raises:
      ValueError: If a task is unknown, a weight negative or all are 0.
    """
    named = {} if isinstance(given, str) else dict(given)
    unknown = [task for task in named if task not in tasks]
    if unknown:
        raise ValueError(f"Task weights name {unknown}, but the tasks are {list(tasks)}.")
    weights = np.array([named.get(task, 1.0) for task in tasks], np.float32)
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(f"Task weights are not negative, and not all 0. Received: {given}.")
    shares: np.ndarray[Any, Any] = weights / weights.sum()
    return shares
