"""Which metrics of an epoch are undefined, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def undefined_metrics(values: Mapping[str, Any], *, tasks: Sequence[str], prefix: str = "val_") -> dict[str, str]:
    """Name -> reason, for every metric of `tasks` that is not a finite number.

    The reason is told by a task's own mean label, which is undefined without a label that counts; that of a binary task
    is 0 without a positive and 1 without a negative one.

    Args:
      values: Metrics of an epoch; what is undefined is `None` or not finite.
      tasks: What they are of.
      prefix: In front of `task_statistic`.
    """
    found = {}
    for task in tasks:
        start = f"{prefix}{task}_"
        missing = [name for name, value in values.items() if name.startswith(start) and not _finite(value)]
        is_binary = f"{start}base_rate" in values
        level = values.get(f"{start}base_rate" if is_binary else f"{start}mean_label")
        found.update(dict.fromkeys(missing, _reason(level, is_binary=is_binary)))
    return found


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(float(value))


def _reason(level: Any, *, is_binary: bool) -> str:
    if not _finite(level):
        return "no label that counts"
    if float(level) <= 0.0:
        return "no positive label" if is_binary else "labels whose sum is not positive"
    return "no negative label" if is_binary and float(level) == 1.0 else "predictions that are not numbers"
