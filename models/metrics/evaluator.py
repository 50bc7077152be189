"""Evaluates a binary task over a stream of checked batches: overall, by key and by segment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.array_ops import NUMPY
from fullrank.models.metrics.binary_formulas import CALIBRATION_GROUPS, binary_rows
from fullrank.models.metrics.binary_sums import NO_LABEL, BinarySums
from fullrank.models.metrics.curves import Reliability, Roc, reliability, roc
from fullrank.models.metrics.factorise import has_key
from fullrank.models.metrics.group_auc import KeyAucs, mean_auc
from fullrank.models.metrics.key_rows import KeyRows, key_codes
from fullrank.models.metrics.logit_grid import LogitGrid
from fullrank.models.metrics.segments import SegmentRows


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
        ValueError: If lengths differ, a weight is negative or not finite, or a scored row has no finite score.
    """
    y, p = (np.asarray(values, np.float64).reshape(-1) for values in (labels, scores))
    w = np.ones(y.size) if weights is None else np.asarray(weights, np.float64).reshape(-1)
    check_lengths(task=task, rows=y.size, columns={"scores": p.size, "weights": w.size})
    if w.size and not (np.isfinite(w).all() and w.min() >= 0.0):
        bad = w[~(np.isfinite(w) & (w >= 0.0))][0]
        raise ValueError(f"task {task!r}: a weight is finite and not negative; received {bad}")
    rows = EvaluatorRows(y, p, w)
    broken = ~np.isfinite(p) & rows.used
    if broken.any():
        raise ValueError(
            f"task {task!r}: {int(broken.sum())} of {y.size} scores are NaN or infinite; the model has diverged or its "
            "input is not finite, so look at the training loss"
        )
    return rows


def check_lengths(*, task: str, rows: int, columns: Mapping[str, int]) -> None:
    """Raises ValueError if a column is not `rows` long."""
    for name, size in columns.items():
        if size != rows:
            raise ValueError(f"task {task!r}: {rows} labels but {size} {name}; give one per row")


def check_segments(*, task: str, expected: Sequence[str], received: Mapping[str, object]) -> None:
    """Raises ValueError if the segments of a batch are not those the evaluator was made for."""
    if set(expected) != set(received):
        raise ValueError(
            f"task {task!r}: the evaluator was made for segments {sorted(expected)}; received {sorted(received)}"
        )


class BinaryEvaluator:
    """AUC, log loss, NE, GAUC, calibration error and bias of a binary task, also for every value of every segment.

    Memory does not grow with the number of rows except for GAUC: `24 * bins` bytes per segment value (0.4 MB by
    default, so 40 MB per full segment), and with a key 20 bytes per row and 2 more per segment. The formulas are those
    of the training metric, `StreamingBinary`; the bins are finer.

    A row without a key (-1 or an empty string in records) is left out of GAUC; such rows do not belong to one common
    user. GAUC is exact, so it needs all rows of a key; a bounded approximation (hashed keys times coarse bins) would
    confuse the many keys with few rows that are typical of logs. The training metric therefore has none.

    Args:
        task: Name of the task, for messages.
        segments: Names of the segment columns.
        key: Name of the column that GAUC groups by; None for no GAUC.
        from_logits: Whether scores are logits; default probabilities.
        max_segment_values: Number of values of a segment with statistics of their own, in order of appearance (by
          frequency within a batch); the rest share the entry "(other)".
        bins: Number of histogram bins.

    Example:
        >>> evaluator = BinaryEvaluator(task="click", segments=("country",), key="user")
        >>> evaluator.update(
        ...     labels=[0, 1], scores=[0.2, 0.6], keys=[7, 7], segments={"country": [b"de", b"de"]}
        ... )
        >>> evaluator.result()["gauc"]
        1.0
    """

    def __init__(
        self,
        *,
        task: str,
        segments: Sequence[str] = (),
        key: str | None = None,
        from_logits: bool = False,
        max_segment_values: int = 100,
        bins: int = 2**14,
    ) -> None:
        self.task = task
        self._key = key
        self._from_logits = from_logits
        self._grid = LogitGrid(bins=bins)
        self._all = BinarySums(grid=self._grid)
        self._segments = {name: SegmentRows(name=name, max_values=max_segment_values) for name in segments}
        self._segment_sums = {name: BinarySums(grid=self._grid) for name in segments}
        self._key_rows = KeyRows(segments=len(self._segments))

    def update(
        self,
        *,
        labels: npt.ArrayLike,
        scores: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        keys: npt.ArrayLike | None = None,
        segments: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        """Adds a batch; every column is `[B]` or `[B, 1]`.

        Args:
            labels: In [0, 1]; NaN where not observed, which leaves the row out.
            scores: Probabilities, or logits; finite where a row has a label.
            weights: Not negative; default 1. A weight of 0 leaves the row out.
            keys: Integers, bytes or strings, -1 or empty where a row has none; needed if the evaluator has a key.
            segments: Name -> integers, bytes or strings, for exactly the evaluator's segments.

        Raises:
            ValueError: If lengths, names, types or values are not as described; nothing has been added then.
        """
        rows = evaluator_rows(task=self.task, labels=labels, scores=scores, weights=weights)
        segments = segments or {}
        check_segments(task=self.task, expected=tuple(self._segments), received=segments)
        used = rows.used
        y, p, w = rows.labels[used], rows.scores[used], rows.weights[used]
        self._check_values(y, p)
        columns = {f"values of segment {name!r}": np.asarray(values).size for name, values in segments.items()}
        if self._key is not None:
            if keys is None:
                raise ValueError(f"task {self.task!r}: GAUC by {self._key!r} needs keys; received none")
            columns["keys"] = np.asarray(keys).size
        check_lengths(task=self.task, rows=rows.labels.size, columns=columns)
        codes = None if self._key is None else key_codes(keys=np.asarray(keys).reshape(-1)[used], column=self._key)
        segment_rows = [
            directory.rows(values=np.asarray(segments[name]).reshape(-1)[used])
            for name, directory in self._segments.items()
        ]
        summands = binary_rows(labels=y, scores=p, weights=w, from_logits=self._from_logits, grid=self._grid, ops=NUMPY)
        self._all.add(row=np.zeros(y.size, np.int64), summands=summands)
        for (name, directory), row in zip(self._segments.items(), segment_rows, strict=True):
            sums = self._segment_sums[name]
            sums.reserve(rows=len(directory))
            sums.add(row=row, summands=summands)
        if codes is not None:
            keyed = has_key(np.asarray(keys).reshape(-1)[used])
            self._key_rows.add(
                keys=codes[keyed],
                labels=y[keyed],
                scores=p[keyed],
                weights=w[keyed],
                segment_rows=[row[keyed] for row in segment_rows],
            )

    def merge(self, other: BinaryEvaluator) -> None:
        """Adds all rows of another evaluator with the same arguments, such as another worker's.

        Raises:
            ValueError: If the other evaluator has other segments, bins or another key.
        """
        ours = (tuple(self._segments), self._key, self._grid)
        theirs = (tuple(other._segments), other._key, other._grid)
        if ours != theirs:
            raise ValueError(f"task {self.task!r}: cannot merge evaluators made with {ours} and {theirs}")
        self._all.merge(other=other._all, row_map=np.zeros(1, np.int64))
        row_maps = []
        for name, directory in self._segments.items():
            row_maps.append(directory.adopt(other=other._segments[name]))
            self._segment_sums[name].merge(other=other._segment_sums[name], row_map=row_maps[-1])
        self._key_rows.extend(other=other._key_rows, row_maps=row_maps)

    def result(self) -> dict[str, Any]:
        """Returns the statistics as plain numbers that JSON can hold.

        Keys: `auc, log_loss, ne, gauc, ece, bias, base_rate, mean_prediction, examples, positives, weight` (see
        `binary_formulas.binary_statistics`); with a key also `gauc_keys`, the number of keys with both classes,
        `gauc_share`, their share of the weight of all rows, and `gauc_rows_without_key`, the rows that GAUC leaves out;
        without one `gauc` is None. Undefined statistics are None, and `undefined` (present only then) gives the reason.
        `segments` is name -> value -> the same statistics.
        """
        result = self._entry(self._all, 0, self._key_rows.aucs())
        result["segments"] = {name: self._segment_result(number, name) for number, name in enumerate(self._segments)}
        return result

    def roc(self) -> Roc:
        """Returns the ROC curve over all rows."""
        return roc(histogram=self._all.histogram[0])

    def reliability(self, *, groups: int = CALIBRATION_GROUPS) -> Reliability:
        """Returns the reliability table over all rows, `groups` groups of equal weight in order of score."""
        return reliability(histogram=self._all.histogram[0], totals=self._all.totals[0], groups=groups)

    def _check_values(self, labels: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> None:
        for name, values, checked in (("label", labels, True), ("probability", scores, not self._from_logits)):
            if checked and values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
                bad = values[(values < 0.0) | (values > 1.0)][0]
                raise ValueError(f"task {self.task!r}: a {name} lies in [0, 1]; received {bad}")

    def _segment_result(self, number: int, name: str) -> dict[str, Any]:
        directory, sums = self._segments[name], self._segment_sums[name]
        aucs = self._key_rows.segment_aucs(segment=number, rows=len(directory))
        return {
            label: self._entry(sums, row, aucs[row])
            for row, label in enumerate(directory.names())
            if sums.totals[row, 0] > 0.0
        }

    def _entry(self, sums: BinarySums, row: int, aucs: KeyAucs) -> dict[str, Any]:
        result = sums.result(row=row)
        if self._key is None:
            return result | {"gauc": None}
        gauc = mean_auc(aucs)
        total = float(result["weight"])
        if math.isnan(gauc):
            undefined = {"gauc": f"no {self._key} has both classes"}
            if not total:
                undefined["gauc_share"] = NO_LABEL
            result["undefined"] = {**result.get("undefined", {}), **undefined}
        defined = ~np.isnan(aucs.auc)
        return result | {
            "gauc": None if math.isnan(gauc) else gauc,
            "gauc_keys": int(defined.sum()),
            "gauc_share": float(aucs.weight[defined].sum()) / total if total else None,
            "gauc_rows_without_key": result["examples"] - int(aucs.rows.sum()),
        }
