"""The validation metric that selects the best weights: its name in the logs, its value, and what is better."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from fullrank.models.heads.task_outputs import TaskOutputs

AUTO: Final = "auto"
MONITORED: Final = ("auc", "log_loss", "ne", "ece")
"""The statistics that can be monitored: a larger AUC is better, and smaller values of the others."""
NE_CALIBRATED: Final = "ne_calibrated"
"""The normalised entropy after calibration, which is monitored like these where there is one."""
MONITORED_OF_VALUES: Final = ("rmse", "mae")
_LARGER: Final = ("_auc", "_recall", "_ndcg", "_mrr")
"""Endings of the metrics of which more is better."""
_VALIDATION: Final = "val_"
_MEAN: Final = f"{_VALIDATION}mean_"


def monitored_value(logs: Mapping[str, Any], monitor: str) -> float:
    """The monitored value; a mean leaves out tasks for which the statistic is undefined."""
    if not monitor.startswith(_MEAN):
        return float(logs[monitor])
    ending = monitor.removeprefix(_MEAN)
    values = [float(value) for name, value in logs.items() if name.startswith("val_") and name.endswith(f"_{ending}")]
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def is_better(value: float, best: float, monitor: str) -> bool:
    """Whether a value of the metric is better than the best so far."""
    return value > best if monitor.endswith(_LARGER) else value < best


def monitored(
    name: str,
    *,
    tasks: tuple[str, ...],
    values: tuple[str, ...] = (),
    auxiliary: Collection[str] = (),
    calibrated: bool = False,
) -> str:
    """Resolves `--monitor` to a name in the logs: a statistic of the first task, `mean_statistic` or `task_statistic`.

    `auto` is the NE of the one binary task, or the mean of several; if no task is binary, likewise the RMSE. An
    auxiliary task does not choose the weights that are exported without it. NE rises as soon as a model becomes
    overconfident, which neither the AUC nor the NE after calibration shows.

    Args:
      name: The value of the flag.
      tasks: Binary tasks.
      values: Tasks with a real value.
      auxiliary: Those of both that are not exported, which `auto` leaves out.
      calibrated: Whether `ne_calibrated` is among the logs; see `Calibrating`.

    Raises:
      ValueError: If there is no such statistic.
    """
    if name == AUTO:
        binary, real = ([task for task in each if task not in auxiliary] for each in (tasks, values))
        of, statistic = (binary, "ne") if binary else (real, "rmse")
        return f"{_MEAN}{statistic}" if len(of) > 1 else f"{_VALIDATION}{of[0]}_{statistic}"
    of_tasks = (*MONITORED, NE_CALIBRATED) if calibrated else MONITORED
    kinds = [(of, statistics) for of, statistics in ((tasks, of_tasks), (values, MONITORED_OF_VALUES)) if of]
    known = {f"{task}_{s}": f"val_{task}_{s}" for of, statistics in kinds for task in of for s in statistics}
    first = {s: f"val_{of[0]}_{s}" for of, statistics in kinds for s in statistics}
    mean = {f"mean_{s}": f"{_MEAN}{s}" for _, statistics in kinds for s in statistics}
    found = {**mean, **known, **first}.get(name)
    if found is None and name.endswith(NE_CALIBRATED) and not calibrated:
        raise ValueError(f"--monitor={name} needs --calibrate, which is off.")
    if found is None:
        raise ValueError(f"--monitor={name}: no such metric. Known: {', '.join([AUTO, *first, *mean, *known])}.")
    return found


def watched(monitor: str, *, tasks: Mapping[str, bool]) -> tuple[tuple[str, ...], str]:
    """The tasks and the statistic of a name from `monitored`.

    Args:
      monitor: Such as `val_click_auc` or `val_mean_auc`.
      tasks: Name -> whether it is binary, which decides what a mean is taken over.
    """
    if not monitor.startswith(_MEAN):
        task = max((task for task in tasks if monitor.startswith(f"{_VALIDATION}{task}_")), key=len)
        return (task,), monitor.removeprefix(f"{_VALIDATION}{task}_")
    statistic = monitor.removeprefix(_MEAN)
    is_binary = statistic not in MONITORED_OF_VALUES
    return tuple(task for task, binary in tasks.items() if binary == is_binary), statistic


def monitors_of_tasks(outputs: TaskOutputs) -> dict[str, str]:
    """Task -> the name in the logs by which its own best weights are selected: its NE, or its RMSE."""
    return {
        task: f"{_VALIDATION}{task}_{'ne' if place in outputs.binary else 'rmse'}"
        for place, task in enumerate(outputs.tasks)
    }
