"""The decay of a map, and the agreement of a learned map with the truth."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from fullrank.analysis.information.behaviour_map import TRUTH, Axis, CellMap

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Decay:
    """The effect of behaviours over positions or intervals, pooled over targets.

    Attributes:
      axis: Axis of `places`.
      source: The label, or a run.
      same: Whether the behaviours are of the target's own category, or of the other chosen ones.
      places: `[columns]`.
      effects: `[columns]`, mean log odds ratio over targets (and behaviours), weighted by its precision.
      errors: `[columns]`, its standard error.
      constant: tau of `a exp(-x / tau) + level`, fitted to the effects, in the unit of `places`; NaN if no decay fits.
      error: Standard error of tau.
      level: Level that the effect decays to.
    """

    axis: Axis
    source: str
    same: bool
    places: Floats
    effects: Floats
    errors: Floats
    constant: float
    error: float
    level: float

    def to_json(self) -> dict[str, Any]:
        """All numbers; undefined ones are None."""
        found = dataclasses.asdict(self)
        for name in ("places", "effects", "errors"):
            found[name] = [_number(value) for value in found[name]]
        return found | {name: _number(found[name]) for name in ("constant", "error", "level")}


def decay_of(cells: CellMap, *, source: str, same: bool = True) -> Decay:
    """Pools the cells of the targets' own category, or of the other chosen ones, and fits an exponential decay.

    Args:
      cells: The map.
      source: The label, or a run.
      same: Whether to pool the cells of the targets' own category, or the others.
    """
    effects, errors = cells.effects(source)
    own = np.eye(len(cells.targets), dtype=bool)
    chosen = own if same else ~own
    weights = np.nan_to_num(1.0 / errors[:, :-1][chosen] ** 2)
    total = weights.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (weights * np.nan_to_num(effects[:, :-1][chosen])).sum(0) / total
        error = 1.0 / np.sqrt(total)
    error[total == 0] = np.nan
    constant, uncertainty, level = _fitted(cells.places, pooled, error)
    return Decay(
        axis=cells.axis,
        source=source,
        same=same,
        places=cells.places,
        effects=pooled,
        errors=error,
        constant=constant,
        error=uncertainty,
        level=level,
    )


def _fitted(places: Floats, effects: Floats, errors: Floats) -> tuple[float, float, float]:
    """tau, its standard error, and the level; NaN if they cannot be estimated."""
    known = np.isfinite(places) & np.isfinite(effects) & np.isfinite(errors)
    nothing = (math.nan, math.nan, math.nan)
    if known.sum() < 4:
        return nothing
    x, y, spread = places[known], effects[known], errors[known]
    unit = float(np.median(x))
    start = (float(y[0] - y[-1]), 0.0, float(y[-1]))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            found, covariance = optimize.curve_fit(
                _curve, x / unit, y, p0=start, sigma=spread, absolute_sigma=True, maxfev=5000
            )
    except (RuntimeError, ValueError, optimize.OptimizeWarning):
        return nothing
    # A fit whose amplitude cannot be distinguished from zero has no time constant.
    if not np.isfinite(covariance).all() or abs(found[0]) < 2.0 * math.sqrt(covariance[0, 0]):
        return nothing
    constant = unit * math.exp(found[1])
    return constant, constant * math.sqrt(covariance[1, 1]), float(found[2])


def _curve(t: Floats, a: float, log_tau: float, level: float) -> Floats:
    found: Floats = a * np.exp(-t / np.exp(log_tau)) + level
    return found


def agreement(cells: CellMap, *, source: str, least: int) -> dict[str, Any]:
    """Spearman's rank correlation of a run's map with that of the label, over the cells that are known well enough.

    Args:
      cells: The map.
      source: A run.
      least: Examples with the behaviour, and without it, that a cell needs.

    Returns:
      `correlation` over all cells of all targets, `own_category` over those of the targets' own category, which differ
      only in time, `cells`, and `missed`: the five cells whose rank the run most underestimates, as the part of the
      pattern that it has not learned.
    """
    enough = (cells.present >= least) & (cells.examples[:, np.newaxis, np.newaxis] - cells.present >= least)
    enough[:, -1] = False
    truth, learned = cells.information(TRUTH)[enough], cells.information(source)[enough]
    correlation = rank_correlation(truth, learned)
    if correlation is None:
        return {"correlation": None, "own_category": None, "cells": len(truth), "missed": []}
    ranks = stats.rankdata(truth) - stats.rankdata(learned)
    places = np.argwhere(enough)
    own = places[:, 0] == places[:, 1]
    missed = [
        {
            "target": cells.targets[target],
            "behaviour": cells.behaviours[behaviour],
            cells.axis: cells.columns[column],
            "information": float(truth[k]),
            "learned": float(learned[k]),
        }
        for k in np.argsort(-ranks, kind="stable")[:5]
        for target, behaviour, column in [places[k]]
        if ranks[k] > 0
    ]
    return {
        "correlation": correlation,
        "own_category": rank_correlation(truth[own], learned[own]),
        "cells": len(truth),
        "missed": missed,
    }


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Spearman's rank correlation; `None` of fewer than three values, or of values that are all equal."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(stats.spearmanr(first, second).statistic)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
