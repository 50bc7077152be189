"""Checks a batch given to an evaluator and brings it into one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class EvaluatorRows(NamedTuple):
    """Float64 labels, scores and weights, `[B]`."""

    labels: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Rows that count: label observed and weight positive."""
        return ~np.isnan(self.labels) & (self.weights > 0.0)


def evaluator_rows(
    *, task: str, labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None
) -> EvaluatorRows:
    """Returns the batch flattened; rows whose label is not observed keep their NaN label.

    Raises:
        ValueError: if lengths differ, a weight is negative or not finite, or a scored row has no finite score.
    """
    y, p = (np.asarray(values, np.float64).reshape(-1) for values in (labels, scores))
    w = np.ones(y.size) if weights is None else np.asarray(weights, np.float64).reshape(-1)
    check_lengths(task=task, rows=y.size, columns={"scores": p.size, "weights": w.size})
    if w.size and not (np.isfinite(w).all() and w.min() >= 0.0):
        bad = w[~(np.isfinite(w) & (w >= 0.0))][0]
        raise ValueError(f"task {task!r}: a weight is finite and not negative; received {bad}")
    rows = EvaluatorRows(y, p, w)
    broken = np.isnan(p) & rows.used
    if broken.any():
        raise ValueError(
            f"task {task!r}: {int(broken.sum())} of {y.size} scores are NaN; the model has diverged or its input is "
            "not finite, so look at the training loss"
        )
    return rows


def check_lengths(*, task: str, rows: int, columns: Mapping[str, int]) -> None:
    """Raises ValueError if a column is not `rows` long."""
    for name, size in columns.items():
        if size != rows:
            raise ValueError(f"task {task!r}: {rows} labels but {size} {name}; give one a row")


def check_segments(*, task: str, expected: Sequence[str], received: Mapping[str, object]) -> None:
    """Raises ValueError if the segments of a batch are not those the evaluator was made for."""
    if set(expected) != set(received):
        raise ValueError(
            f"task {task!r}: the evaluator was made for segments {sorted(expected)}; received {sorted(received)}"
        )
