"""The decay of the gradients of negatives during training ([Tencent] §6.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, figure

_GREEN = "#009E73"
_PURPLE = "#CC79A7"


def negative_gradient_lines(
    *,
    gradients: Mapping[str, npt.ArrayLike],
    base_rate: float | None,
    task: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws one line per loss over the epochs, on a logarithmic axis.

    Args:
        gradients: name of a loss -> mean absolute gradient on logits of negatives after each epoch, as the callback
          `NegativeGradients` logs it; values that are not positive are left out. At most five losses.
        base_rate: draws the level to which cross entropy falls; None leaves it out.
        task: name for the title.
        path: the PNG to write.

    Raises:
        ValueError: if there is no positive gradient, or there are more than five losses.
    """
    colors = (BLUE, ORANGE, _GREEN, _PURPLE, "black")
    values = {name: np.asarray(line, np.float64) for name, line in gradients.items()}
    if not any((line > 0).any() for line in values.values()) or len(values) > len(colors):
        raise ValueError(
            f"no figure of the negative gradients of task {task!r}: it takes one to {len(colors)} losses with a "
            f"positive gradient; received {len(values)} losses"
        )
    longest = max(len(line) for line in values.values())
    with figure(path=path, width=6.5, height=4.2) as axes:
        for color, (name, line) in zip(colors, values.items(), strict=False):
            epochs = np.arange(1, len(line) + 1)
            axes.plot(epochs, np.where(line > 0, line, np.nan), color=color, marker="o", markersize=3.5, label=name)
        if base_rate is not None:
            axes.axhline(base_rate, color=GREY, linewidth=1.2, linestyle="--", label=f"base rate: {base_rate:.3g}")
        axes.set_yscale("log")
        step = max(1, round(longest / 10))
        axes.set_xticks(range(1, longest + 1, step))
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean |gradient| on logits of negatives")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes.set_title(f"Gradients of negatives, {task}")
