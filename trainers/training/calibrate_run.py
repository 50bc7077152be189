"""The calibration of a run's best weights, and its application to a model which loads them.

The files of the weights stay as training left them; `result.json` holds scale and shift, and whoever loads the weights
of a finished run gets them with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.models import Ranker
from fullrank.models.calibration import Calibration, calibrate
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import restore_best
from fullrank.trainers.training.callbacks.calibrating import SCALE, SHIFT
from fullrank.trainers.training.callbacks.monitors import NE_CALIBRATED

RESULT: Final = "calibration"
"""Its entry in `result.json`: directory of the weights -> task -> `scale`, `shift`, and what they changed."""

Found = dict[str, dict[str, dict[str, float]]]


def calibrations(
    run: RunDirectory, result: Mapping[str, Any], *, lines: Iterable[Mapping[str, Any]], tasks: Iterable[str]
) -> Found:
    """The calibration of all best weights that a run keeps, each from the line of its epoch.

    Args:
      run: The run.
      result: `best_epoch`, and `best_epoch_of` if each task has weights of its own.
      lines: Those of `metrics.jsonl`.
      tasks: The binary tasks.

    Returns:
      Directory -> task -> `scale` and `shift`, `ne_before` and `ne` (normalised entropy of the validation split); only
      tasks that gained, and of the weights of one task only that task.
    """
    epochs = {line["epoch"]: line for line in lines if line["kind"] == "epoch"}
    of_best = dict.fromkeys(tasks, result["best_epoch"])
    own = result.get("best_epoch_of", {}).items()
    kept = {run.best: of_best, **{run.best_of(task): {task: epoch} for task, epoch in own if task in of_best}}
    found = {
        directory.name: {
            task: entry for task, epoch in of.items() if (entry := _changed(epochs.get(epoch, {}), task)) is not None
        }
        for directory, of in kept.items()
    }
    return {name: changed for name, changed in found.items() if changed}


def _changed(line: Mapping[str, Any], task: str) -> dict[str, float] | None:
    """The entry of a task; `None` if nothing is scaled or shifted in that epoch."""
    start = f"val_{task}_"
    scale, shift = line.get(f"{start}{SCALE}", 1.0), line.get(f"{start}{SHIFT}", 0.0)
    if (scale, shift) == (1.0, 0.0):
        return None
    return {"scale": scale, "shift": shift, "ne_before": line[f"{start}ne"], "ne": line[f"{start}{NE_CALIBRATED}"]}


def described(found: Found, *, best: Path) -> list[str]:
    """What changed in the weights that are best by `--monitor`, in a sentence; none if nothing did."""
    changed = [
        f"{task} to {entry['scale']:.3g} f {'-' if entry['shift'] < 0 else '+'} {abs(entry['shift']):.3g} "
        f"(NE {entry['ne_before']:.4f} to {entry['ne']:.4f})"
        for task, entry in found.get(best.name, {}).items()
    ]
    return [f"Logits f calibrated on the validation split: {', '.join(changed)}."] if changed else []


def restore_calibrated(model: Ranker, run: RunDirectory, *, best_of: str | None = None) -> None:
    """Loads best weights of a run, and calibrates them if the run is finished and was calibrated.

    Args:
      model: A model of the run's configuration.
      run: The run.
      best_of: Task whose own best weights are loaded, in place of those that are best by `--monitor`.

    Raises:
      ValueError: If weights cannot be loaded, or the result of the run holds something else than numbers of its tasks.
    """
    weights = run.best if best_of is None else run.best_of(best_of)
    restore_best(model, weights)
    result = run.result() or {}
    try:
        own = dict(result.get(RESULT, {}).get(weights.name, {}))
        found = {task: Calibration(float(entry["scale"]), float(entry["shift"])) for task, entry in own.items()}
        if not all(np.isfinite(each).all() and each.scale > 0 for each in found.values()):
            raise ValueError("a scale has to be finite and above 0, and a shift finite")
        calibrate(model, found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{run.result_file} is damaged: its calibration of {weights.name} cannot be applied ({error}). Without the "
            f"entry {RESULT!r} the weights are used as training left them."
        ) from error
