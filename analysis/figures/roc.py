"""ROC curve."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from fullrank.analysis.figures.style import BLUE, GREY, count, figure


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
        ValueError: if a rate is not defined, because a class is missing.
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
