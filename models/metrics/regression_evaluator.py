"""Evaluates a regression task over a stream of batches: overall and by segment.

The training metric and the evaluator share the formulas of the regression metrics in this file. Their state is six
sums over rows, `totals` `[6]`: rows, weight, and weighted label, prediction, squared error and absolute error.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.array_ops import NUMPY, ArrayOps
from fullrank.models.metrics.binary_formulas import ratio
from fullrank.models.metrics.binary_sums import NO_LABEL, plain_numbers
from fullrank.models.metrics.evaluator import check_lengths, check_segments, evaluator_rows
from fullrank.models.metrics.segments import SegmentRows
from fullrank.models.metrics.value_ranking import decile_error, deciles, normalised_gini

TOTALS = 6
STATISTICS = ("rmse", "mae", "bias", "mean_label", "mean_prediction")


def regression_rows(*, labels: Any, predictions: Any, weights: Any, ops: ArrayOps) -> tuple[Any, ...]:
    """Returns each row's summands of the six sums, each `[B]`; rows without a label (NaN) or weight add zeros."""
    counts = ~ops.isnan(labels) & (weights > 0.0)
    y, p, w = (ops.where(counts, column, 0.0) for column in (labels, predictions, weights))
    error = p - y
    return ops.where(counts, 1.0, 0.0 * w), w, w * y, w * p, w * error * error, w * abs(error)


def regression_statistics(*, totals: Any, ops: ArrayOps) -> dict[str, Any]:
    """Computes the statistics named in `STATISTICS`; NaN where one is not defined.

    * rmse: root of the mean squared error. mae: mean absolute error.
    * bias: predicted over observed, sum p / sum y; not defined unless the labels' sum is positive.
    * mean_label, mean_prediction: weighted means.
    """
    quotients = {
        "rmse": (totals[4], totals[1]),
        "mae": (totals[5], totals[1]),
        "bias": (totals[3], totals[2]),
        "mean_label": (totals[2], totals[1]),
        "mean_prediction": (totals[3], totals[1]),
    }
    numerators, denominators = (ops.stack(parts) for parts in zip(*quotients.values(), strict=True))
    statistics = dict(zip(quotients, ops.unstack(ratio(numerators, denominators, ops=ops)), strict=True))
    return {**statistics, "rmse": statistics["rmse"] ** 0.5}


class RegressionEvaluator:
    """RMSE, MAE, bias, normalised Gini and calibration by decile, also for every value of every segment.

    The last two need all rows at once, which are kept: 24 bytes per row, and 8 more per segment.

    Args:
        task: Name of the task, for messages.
        segments: Names of the segment columns.
        max_segment_values: Values of a segment with statistics of their own, as in `BinaryEvaluator`.
    """

    def __init__(self, *, task: str, segments: Sequence[str] = (), max_segment_values: int = 100) -> None:
        self.task = task
        self._segments = {name: SegmentRows(name=name, max_values=max_segment_values) for name in segments}
        self._all = np.zeros((1, TOTALS))
        self._segment_totals = {name: np.zeros((max_segment_values + 1, TOTALS)) for name in segments}
        self._kept: list[tuple[npt.NDArray[np.float64], ...]] = []
        self._kept_rows: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in segments}

    def update(
        self,
        *,
        labels: npt.ArrayLike,
        scores: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        segments: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        """Adds a batch; every column is `[B]` or `[B, 1]`.

        Args:
            labels: NaN where not observed, which leaves the row out.
            scores: Predictions of the labels.
            weights: Not negative; default 1. A weight of 0 leaves the row out.
            segments: Name -> integers, bytes or strings, for exactly the evaluator's segments.

        Raises:
            ValueError: If lengths, names, types or values are not as described; nothing has been added then.
        """
        rows = evaluator_rows(task=self.task, labels=labels, scores=scores, weights=weights)
        segments = segments or {}
        check_segments(task=self.task, expected=tuple(self._segments), received=segments)
        columns = {f"values of segment {name!r}": np.asarray(values).size for name, values in segments.items()}
        check_lengths(task=self.task, rows=rows.labels.size, columns=columns)
        used = rows.used
        labels, predictions, weights = (column[used] for column in (rows.labels, rows.scores, rows.weights))
        segment_rows = {
            name: directory.rows(values=np.asarray(segments[name]).reshape(-1)[used])
            for name, directory in self._segments.items()
        }
        summands = regression_rows(labels=labels, predictions=predictions, weights=weights, ops=NUMPY)
        self._all += np.sum(summands, axis=1)
        self._kept.append((labels, predictions, weights))
        for name, row in segment_rows.items():
            self._kept_rows[name].append(row)
            np.add.at(self._segment_totals[name], row, np.stack(summands, axis=1))

    def merge(self, other: RegressionEvaluator) -> None:
        """Adds all rows of another evaluator with the same arguments, such as another worker's.

        Raises:
            ValueError: If the other evaluator has other segments.
        """
        if tuple(self._segments) != tuple(other._segments):
            raise ValueError(
                f"task {self.task!r}: cannot merge evaluators of segments {list(self._segments)} and "
                f"{list(other._segments)}"
            )
        self._all += other._all
        self._kept += other._kept
        for name, directory in self._segments.items():
            row_map = directory.adopt(other=other._segments[name])
            np.add.at(self._segment_totals[name], row_map, other._segment_totals[name][: row_map.size])
            self._kept_rows[name] += [row_map[rows] for rows in other._kept_rows[name]]

    def result(self) -> dict[str, Any]:
        """Returns the statistics as plain numbers that JSON can hold.

        Keys: `rmse, mae, bias, mean_label, mean_prediction` (see `regression_statistics`), `gini`
        and `decile_error` (see `value_ranking`), `examples, weight`, and `deciles`: lists of `mean_label`,
        `mean_prediction` and `weight`. Undefined statistics are None, and `undefined` (present only then) gives the
        reason. `segments` is name -> value -> the same statistics except `deciles`.
        """
        columns = zip(*self._kept, strict=True) if self._kept else ((np.empty(0),),) * 3
        rows = _Rows(*(np.concatenate(column) for column in columns))
        result = _entry(self._all[0], rows)
        result["deciles"] = {name: values.tolist() for name, values in deciles(**rows._asdict()).items()}
        result["segments"] = {name: self._segment_result(name, rows) for name in self._segments}
        return result

    def _segment_result(self, name: str, rows: _Rows) -> dict[str, Any]:
        place = np.concatenate([np.empty(0, np.int64), *self._kept_rows[name]])
        order = np.argsort(place, kind="stable")
        names = self._segments[name].names()
        bounds = np.searchsorted(place[order], np.arange(len(names) + 1))
        return {
            label: _entry(totals, _Rows(*(column[order[start:end]] for column in rows)))
            for label, totals, (start, end) in zip(
                names, self._segment_totals[name], itertools.pairwise(bounds), strict=False
            )
            if totals[0] > 0.0
        }


class _Rows(NamedTuple):
    labels: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]


def _entry(totals: npt.NDArray[np.float64], rows: _Rows) -> dict[str, Any]:
    ranking = {"gini": normalised_gini(**rows._asdict()), "decile_error": decile_error(deciles(**rows._asdict()))}
    result = plain_numbers({**regression_statistics(totals=totals, ops=NUMPY), **ranking})
    reasons = {"gini": "all labels are equal"}
    undefined = {
        name: reasons.get(name, "labels whose sum is not positive") if rows.labels.size else NO_LABEL
        for name, value in result.items()
        if value is None
    }
    counted = {**result, "examples": round(float(totals[0])), "weight": float(totals[1])}
    return {**counted, "undefined": undefined} if undefined else counted
