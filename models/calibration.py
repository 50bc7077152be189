"""Platt scaling: a logit's scale and shift, fitted after training on rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from fullrank.layers.mixture.task_heads import TaskHeads
from fullrank.models.metrics.normalised_entropy import cross_entropies
from fullrank.models.ranker import Ranker

Floats = npt.NDArray[np.float64]

_CONVERGED: Final = 1e-4
"""Largest gradient of a fit that counts, relative to the weight of the rarer label."""


class Calibration(NamedTuple):
    """`scale f + shift` in place of a logit f; the scale is above 0, so that no order changes."""

    scale: float
    shift: float


def fit_calibration(
    *, labels: Floats, logits: Floats, weights: Floats | None = None, rows: float | None = None
) -> Calibration | None:
    """Fits scale and shift by maximum likelihood, and keeps them if the rows are evidence enough.

    Labels are those of Platt 1999, `(n_1 + 1) / (n_1 + 2)` and `1 / (n_0 + 2)` in place of 1 and 0, with which the
    scale stays finite where logits separate the labels. The evidence is the Bayesian information criterion: the
    likelihood of the n rows has to rise by more than `log n` nats, half of `log n` for each of the two numbers. Logits
    that need nothing pass this with a probability of 1 / n.

    Weighted rows count as n = (sum w)^2 / sum w^2 rows of one weight, whose means vary as much (Kish 1965).

    Args:
      labels: `[k]`, from 0 to 1; rows without a label (NaN) are left out.
      logits: `[k]`.
      weights: `[k]`, not negative, relative to each other; `None` for ones. Rows of weight 0 are left out.
      rows: n, where each of the k stands for several rows, whose label is their mean; by default that of the weights.

    Returns:
      The calibration; `None` if nothing is gained, the order would be reversed, or labels of one kind are missing.
    """
    given = np.ones_like(logits) if weights is None else weights
    there = np.isfinite(labels) & np.isfinite(logits) & (given > 0)
    labels, logits, given = (each[there].astype(np.float64) for each in (labels, logits, given))
    if not 0 < labels.sum() < len(labels) or np.ptp(logits) == 0:
        return None
    rows = float(given.sum() ** 2 / (given @ given)) if rows is None else rows
    given *= rows / given.sum()
    positives = float(given @ labels)
    low, high = 1 / (rows - positives + 2), (positives + 1) / (positives + 2)
    smooth = low + (high - low) * labels
    centre, spread = float(logits.mean()), float(logits.std())
    slope, height = _most_likely((logits - centre) / spread, smooth, given, start=np.array([spread, centre]))
    found = Calibration(scale=float(slope / spread), shift=float(height - slope * centre / spread))
    if not (np.isfinite(found).all() and found.scale > 0):
        return None
    before = cross_entropies(labels=labels, logits=logits)
    after = cross_entropies(labels=labels, logits=found.scale * logits + found.shift)
    return found if float(given @ (before - after)) > np.log(rows) else None


def _most_likely(features: Floats, labels: Floats, weights: Floats, *, start: Floats) -> Floats:
    """The slope and height of a logistic regression, by Newton's method; NaN where it does not converge.

    The loss is a sum over the weight of the rarer label, so that its gradient is as large with a positive in a
    thousand as with one in two.
    """
    positives = float(weights @ labels)
    rarer = min(positives, float(weights.sum()) - positives)

    def loss(found: Floats) -> float:
        return float(weights @ cross_entropies(labels=labels, logits=found[0] * features + found[1])) / rarer

    def gradient(found: Floats) -> Floats:
        off = weights * (expit(found[0] * features + found[1]) - labels)
        return np.array([off @ features, off.sum()]) / rarer

    def hessian(found: Floats) -> Floats:
        likely = expit(found[0] * features + found[1])
        curved = weights * likely * (1 - likely)
        moments = [curved @ features**power for power in (2, 1, 0)]
        return np.array([[moments[0], moments[1]], [moments[1], moments[2]]]) / rarer

    done = minimize(loss, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-6})
    parameters: Floats = done.x if np.abs(done.jac).max() < _CONVERGED else np.full(2, np.nan)
    return parameters


def tasks_with_own_logit(model: Ranker) -> tuple[str, ...]:
    """The binary tasks whose probability is the sigmoid of one head's logit: none of a chain or an uncertain head."""
    if model.is_uncertain:
        return ()
    outputs = model.outputs
    return tuple(outputs.tasks[place] for place in outputs.binary if outputs.tasks[place] not in model.options.chain)


def calibrate(model: Ranker, found: Mapping[str, Calibration]) -> None:
    """Multiplies and shifts the last weights of some tasks: `w' = scale w` and `b' = scale b + shift`.

    Nothing but the values of these weights changes, so a calibrated model is exported as any other.

    Args:
      model: A model with all its weights.
      found: Task -> calibration.

    Raises:
      ValueError: If a task has no logit of its own.
    """
    known = tasks_with_own_logit(model)
    for task in found:
        if task not in known:
            raise ValueError(
                f"Task {task!r} has no logit of its own to calibrate. Those that have: {', '.join(known)}."
            )
    head: Any = model.head
    if not found or not isinstance(head, TaskHeads):
        return
    columns = head.bias.shape[0]
    scale, shift = np.ones((columns, 1), np.float32), np.zeros((columns, 1), np.float32)
    for place, task in enumerate(model.wiring.task_of_heads):
        if task in found:
            scale[place], shift[place] = found[task]
    head.kernel.assign(head.kernel * scale[:, :, np.newaxis])
    head.bias.assign(head.bias * scale + shift)
