"""What a cascade keeps of what its ranker would answer alone, by numbers of ads that its stages let through."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.evaluator import BinaryEvaluator

_STATISTICS: Final = ("ne", "auc", "bias")
Floats = npt.NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StageScores:
    """Scores of all N ads by each stage, and what is known of the queries.

    Attributes:
      retrieval: `[Q, N]`.
      prerank: `[Q, N]`; `None` without a pre-ranker.
      rank: Predictions of the ranker that order the answer, `[Q, N]`.
      own: Place of the ad of each query, `[Q]`; N for one that is not in the catalogue.
      positive: Whether the query took its ad, `[Q]` bool.
      labels: Label of the ordering task, `[Q]`; NaN where there is none.
    """

    retrieval: Floats
    prerank: Floats | None
    rank: Floats
    own: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    labels: Floats


def survivors(scores: StageScores, *, retrieved: int, kept: int) -> npt.NDArray[np.bool_]:
    """Which ads reach the ranker, `[Q, N]`: the K2 best of the pre-ranker among the K1 best of retrieval."""
    first = _best(scores.retrieval, retrieved)
    if scores.prerank is None:
        return first
    return _best(np.where(first, scores.prerank, -np.inf), kept) & first


def cascade_metrics(
    scores: StageScores, *, grid: Sequence[tuple[int, int]], answered: int, task: str | None
) -> list[dict[str, Any]]:
    """Metrics of each pair of K1 and K2; undefined is `None`.

    `recall` is the share of the positives whose own ad reaches the ranker, `answered` that of those that are among the
    first K3 of the answer, `top` the mean share of the first K3 ads of the ranker alone that reach it. `ne`, `auc` and
    `bias` are those of the ranker on the `rows` queries whose own ad reaches it, whatever their label, with the columns
    that the catalogue holds of it; `ne` is relative to their own rate. The ranker scores `kept` ads of a query.

    Args:
      scores: Scores of all ads.
      grid: Pairs of K1 and K2.
      answered: K3.
      task: The binary task that `rank` is a probability of; `None` for an output that is none.
    """
    queries, number = scores.rank.shape
    top = _best(scores.rank, answered)
    rows, inside = np.arange(queries), scores.own < number
    own = np.minimum(scores.own, number - 1)
    found = []
    for retrieved, kept in grid:
        alive = survivors(scores, retrieved=retrieved, kept=kept)
        reached = alive[rows, own] & inside
        shown = _best(np.where(alive, scores.rank, -np.inf), answered)[rows, own] & reached
        row: dict[str, Any] = {
            "retrieved": min(retrieved, number),
            "kept": min(retrieved, kept, number),
            "recall": _mean(reached[scores.positive]),
            "answered": _mean(shown[scores.positive]),
            "top": _mean((alive & top).sum(axis=1) / top.sum(axis=1)),
            **dict.fromkeys(_STATISTICS),
            "rows": 0,
        }
        judged = reached & np.isfinite(scores.labels)
        if task is not None and judged.any():
            evaluator = BinaryEvaluator(task=task)
            evaluator.update(labels=scores.labels[judged], scores=scores.rank[rows, own][judged])
            result = evaluator.result()
            row |= {"rows": int(judged.sum()), **{name: result[name] for name in _STATISTICS}}
        found.append(row)
    return found


def _best(scores: Floats, number: int) -> npt.NDArray[np.bool_]:
    """Whether an entry is among the highest of its row; of equal ones the first, as `tf.math.top_k` takes them."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :number]
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
