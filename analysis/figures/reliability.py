"""Figures of probabilities: observed against predicted rate, and the ROC curve."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from fullrank.analysis.comparisons.paired import wilson_interval
from fullrank.analysis.figures.style import BLUE, GREY, count, figure


def reliability_diagram(
    *,
    mean_prediction: npt.ArrayLike,
    observed_rate: npt.ArrayLike,
    examples: npt.ArrayLike,
    task: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws groups of examples, each at its mean prediction and observed rate, with 95 % Wilson intervals.

    Both axes are logarithmic if predictions are small and spread over more than a factor of four, as click rates are.
    A group without positives is then a triangle at the lower edge.

    Args:
        mean_prediction: `[G]` in [0, 1].
        observed_rate: `[G]` in [0, 1].
        examples: number of examples in each group, `[G]`, positive.
        task: name for the title.
        path: the PNG to write.

    Raises:
        ValueError: if there is no group.
    """
    predicted, observed, sizes = (np.asarray(a, np.float64) for a in (mean_prediction, observed_rate, examples))
    if not predicted.size:
        raise ValueError(f"no reliability diagram for task {task!r}: it has no observed label")
    lower, upper = wilson_interval(rate=observed, examples=sizes)
    logarithmic = predicted.min() > 0.0 and predicted.max() < 0.5 and predicted.max() > 4.0 * predicted.min()
    with figure(path=path) as axes:
        if logarithmic:
            # An interval that reaches zero would extend a logarithmic axis to infinity.
            low = 0.5 * min(predicted.min(), observed[observed > 0.0].min(initial=1.0))
            high = min(1.0, 1.6 * max(predicted.max(), upper.max()))
            axes.set(xscale="log", yscale="log")
        else:
            low = 0.0
            high = min(1.02, 1.1 * max(predicted.max(), upper.max()))
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        shown = np.maximum(observed, low)
        axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1.0, label="perfect calibration")
        axes.vlines(predicted, np.maximum(lower, low), upper, color=BLUE, linewidth=1.2, alpha=0.6)
        seen = observed > 0.0
        axes.plot(
            predicted[seen], shown[seen], "o", color=BLUE, markersize=5, clip_on=False, label="group, 95 % interval"
        )
        if not seen.all():
            axes.plot(
                predicted[~seen], shown[~seen], "v", color=BLUE, fillstyle="none", clip_on=False, label="no positive"
            )
        for axis in (axes.xaxis, axes.yaxis):
            if logarithmic:
                axis.set_major_locator(LogLocator(subs=_ticks_per_decade(high / low)))
                axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("mean predicted probability")
        axes.set_ylabel("observed rate")
        axes.set_title(f"Reliability of {task}: {count(sizes.sum())} examples in {predicted.size} groups")
        axes.legend(loc="best")


def _ticks_per_decade(span: float) -> tuple[float, ...]:
    """The ticks of a decade whose labels fit next to each other."""
    if span < 150.0:
        return (1.0, 2.0, 5.0)
    return (1.0, 3.0) if span < 3000.0 else (1.0,)


def _percent(value: float, _: int | None) -> str:
    return f"{100.0 * value:.4g} %"


def roc_curve(
    *,
    false_positive_rate: npt.ArrayLike,
    true_positive_rate: npt.ArrayLike,
    auc: float,
    examples: float,
    positives: float,
    task: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws the true against the false positive rate.

    Args:
        false_positive_rate: `[K]` in [0, 1].
        true_positive_rate: `[K]` in [0, 1].
        auc: area below the curve, for the title.
        examples: number of examples.
        positives: number of positives among them.
        task: name for the title.
        path: the PNG to write.

    Raises:
        ValueError: if a rate is undefined, because a class is missing.
    """
    fpr, tpr = np.asarray(false_positive_rate, np.float64), np.asarray(true_positive_rate, np.float64)
    if np.isnan(fpr).any() or np.isnan(tpr).any():
        raise ValueError(f"no ROC curve for task {task!r}: its {count(examples)} examples are of one class")
    with figure(path=path) as axes:
        axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle="--", linewidth=1.0, label="chance")
        axes.plot(fpr, tpr, color=BLUE, label=f"AUC {auc:.4f}", clip_on=False)
        axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), aspect="equal")
        axes.set_xlabel("false positive rate (share of negatives)")
        axes.set_ylabel("true positive rate (share of positives)")
        axes.set_title(f"ROC of {task}: {count(positives)} positives in {count(examples)} examples")
        axes.legend(loc="lower right")
