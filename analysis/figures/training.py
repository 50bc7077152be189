"""The course of training: a metric of the training and of the validation split after each epoch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, figure


def training_curves(
    *,
    steps: Sequence[float],
    train: Sequence[float | None],
    validation: Sequence[float | None],
    best: float | None,
    metric: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws both over steps; None is left out.

    Args:
      steps: step of each point.
      train: the metric on the training split.
      validation: the same on the validation split.
      best: step of the weights that were kept.
      metric: its name.
      path: the file to write.
    """
    with figure(path=path, width=6.5, height=3.8) as axes:
        for values, name, color in ((train, "training", GREY), (validation, "validation", BLUE)):
            known = np.array([np.nan if value is None else value for value in values], np.float64)
            if np.isfinite(known).any():
                axes.plot(steps, known, "o-", color=color, markersize=4, label=name)
        if best is not None:
            axes.axvline(best, color=ORANGE, linestyle="--", linewidth=1.2, label="weights that were kept")
        axes.set_xlabel("step")
        axes.set_ylabel(metric)
        axes.set_title(f"{metric} during training")
        axes.legend(loc="best")
