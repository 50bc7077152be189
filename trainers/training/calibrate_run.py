"""Calibrates the best weights of a run on its validation split, and applies that to a model which loads them.

The files of the weights stay as training left them; `result.json` holds scale and shift, and whoever loads the weights
of a finished run gets them with these.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from fullrank.data.schema.schema import Schema
from fullrank.models import Ranker
from fullrank.models.calibration import Calibration, calibrate, fit_calibration, tasks_with_own_logit
from fullrank.models.metrics.normalised_entropy import normalised_entropy
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import restore_best
from fullrank.trainers.training.build_model import build_model

RESULT: Final = "calibration"
"""Its entry in `result.json`: directory of the weights -> task -> `scale`, `shift`, and what they changed."""

_SILENT_SECONDS: Final = 5.0

Found = dict[str, dict[str, dict[str, float]]]


def fit_run(
    run: RunDirectory, config: RunConfig, schema: Schema, *, model: Ranker, batches: tf.data.Dataset | None
) -> Found:
    """Fits the calibration of all best weights that a run keeps.

    Args:
      run: The run.
      config: Its configuration.
      schema: Its schema.
      model: The trained model, which is left with some of these weights.
      batches: The validation split; `None` without one.

    Returns:
      Directory -> task -> `scale` and `shift`, `ne_before` and `ne` (normalised entropy of the split) and `examples`;
      only tasks that gained.
    """
    if not config.objective.calibrate or batches is None:
        return {}
    if config.distribution.strategy in ("mirrored", "multi_worker"):
        # All replicas together would change their weights. On servers there is one copy, which the chief validates on,
        # and it may be larger than this machine.
        model = build_model(config.model, schema, objective=config.objective, exposure=config.exposure)
    tasks = tasks_with_own_logit(model)
    kept = {run.best: tasks, **{run.best_of(task): (task,) for task in tasks}}
    found: Found = {}
    scored = _scored(model, batches)
    for directory, own in kept.items():
        if own and any(directory.glob("*.index")):
            restore_best(model, directory)
            # A bar for what takes longer than a few seconds, unless progress is not to be shown.
            shown = tqdm(
                batches,
                desc=f"calibrating {directory.name}",
                unit=" batches",
                delay=_SILENT_SECONDS,
                disable=config.train.progress == "none",
            )
            changed = {task: entry for task, entry in _fitted(model, scored, shown).items() if task in own}
            if changed:
                found[directory.name] = changed
    return found


def _scored(model: Ranker, batches: tf.data.Dataset) -> Any:
    @tf.function(input_signature=[batches.element_spec], autograph=False)
    def scored(batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        targets, logits = model.learning.targets(batch), model.logits(batch, training=False)
        weights = tf.ones_like(targets.labels) if targets.weights is None else targets.weights
        if weights.shape.rank == 1:
            weights = tf.repeat(weights[:, tf.newaxis], targets.labels.shape[1], axis=1)
        nothing = tf.zeros_like(targets.labels[:, 0])
        return targets.labels, tf.stack([logits.get(task, nothing) for task in model.outputs.tasks], axis=1), weights

    return scored


def _fitted(model: Ranker, scored: Any, batches: Iterable[Any]) -> dict[str, dict[str, float]]:
    parts = [[each.numpy() for each in scored(batch)] for batch in batches]
    if not parts:
        return {}
    labels, logits, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    found: dict[str, dict[str, float]] = {}
    for task in tasks_with_own_logit(model):
        place = model.outputs.tasks.index(task)
        y, f, w = (each[:, place].astype(np.float64) for each in (labels, logits, weights))
        fitted = fit_calibration(labels=y, logits=f, weights=w)
        if fitted is not None:
            there = np.isfinite(y) & np.isfinite(f) & (w > 0)
            y, f, w = y[there], f[there], w[there]
            found[task] = {
                "scale": fitted.scale,
                "shift": fitted.shift,
                "ne_before": normalised_entropy(y, f, w),
                "ne": normalised_entropy(y, fitted.scale * f + fitted.shift, w),
                "examples": len(y),
            }
    return found


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
