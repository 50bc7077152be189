"""The semantic-temporal map: information of behaviours, by category and by position or interval, about a label."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fullrank.analysis.information.constraints import Constraint, lengths
from fullrank.analysis.information.mutual_information import miller_madow_bias, mutual_information
from fullrank.data.schema.table_rows import TableRows

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Axis = Literal["position", "interval"]
TRUTH: Final = "label"
_MILLISECONDS: Final = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapOptions:
    """The settings of a map.

    Attributes:
      target: Column of the target's category.
      behaviours: Column of the behaviours' categories, oldest first, of the same table.
      kept: Constraint on the behaviours that count; `None` for all. Others keep their position, but are in no cell.
      times: Column of the behaviours' times; `None` for a map of positions alone.
      now: Column of the event time; needed with `times`.
      time_unit: Unit of both.
      categories: K rows of the table, of targets and of behaviours.
      names: Their names.
      positions: P, the number of most recent behaviours.
      edges: Inner edges of the interval buckets in seconds, increasing; T - 1.
    """

    target: str
    behaviours: str
    kept: Constraint | None = None
    times: str | None = None
    now: str | None = None
    time_unit: Literal["s", "ms"] = "s"
    categories: tuple[int, ...]
    names: tuple[str, ...]
    positions: int
    edges: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CellMap:
    """Counts along one axis. A cell is a behaviour category (one of K, or all others) in a column of the axis.

    X of a cell is whether the example has such a behaviour, Y its label, or a run's prediction for it: both are
    measured in the same way, `MI(X_{C(X)=c_b and P(X)=p}, Y_{C(Y)=c_t})` ([Tencent] Eq. 7). A predicted probability p
    adds p positives and 1 - p negatives.

    Attributes:
      axis: Axis of the columns.
      targets: Names of the K target categories.
      columns: Names of the columns: positions from 1, or interval buckets.
      places: `[columns]`, the position, or the mean interval of the bucket's behaviours in seconds; NaN without one.
      examples: `[K]`.
      present: `[K, K + 1, columns]`, examples with such a behaviour.
      positives: Source (`label`, or a run) -> `[K]`.
      present_positives: Source -> `[K, K + 1, columns]`.
      noise: Source -> `[K]`, variance relative to that of a drawn label.
    """

    axis: Axis
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    places: Floats
    examples: Floats
    present: Floats
    positives: dict[str, Floats]
    present_positives: dict[str, Floats]
    noise: dict[str, Floats]

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Names of the rows of a target's map."""
        return (*self.targets, "(others)")

    @property
    def sources(self) -> tuple[str, ...]:
        """The label, and the runs."""
        return tuple(self.positives)

    def tables(self, source: str) -> Floats:
        """The table of X and Y of each cell, `[K, K + 1, columns, 2, 2]`."""
        ones = self.present_positives[source]
        rest = self.positives[source][:, np.newaxis, np.newaxis] - ones
        present = self.present
        absent = self.examples[:, np.newaxis, np.newaxis] - present
        found = np.stack([np.stack([absent - rest, rest], -1), np.stack([present - ones, ones], -1)], -2)
        tables: Floats = np.maximum(found, 0.0)
        return tables

    def information(self, source: str) -> Floats:
        """Mutual information minus its first-order bias, in nats, `[K, K + 1, columns]`."""
        tables = self.tables(source)
        bias = miller_madow_bias(tables, noise=self.noise[source][:, np.newaxis, np.newaxis])
        found: Floats = mutual_information(tables) - bias
        return found

    def effects(self, source: str) -> tuple[Floats, Floats]:
        """Log odds ratio of Y between examples with and without the behaviour, and its standard error.

        Half an example is added to each count. Unlike mutual information it has a sign, and does not depend on how
        common the behaviour is.

        Returns:
          Two arrays `[K, K + 1, columns]`; NaN without an example on one of the sides.
        """
        tables = self.tables(source)
        usable = (tables.sum(-1) > 0).all(-1)
        counts = tables + 0.5
        odds = np.log(counts[..., 1]) - np.log(counts[..., 0])
        error = np.sqrt((1.0 / counts).sum((-2, -1)))
        effect: Floats = np.where(usable, odds[..., 1] - odds[..., 0], np.nan)
        return effect, np.where(usable, error, np.nan)

    def to_json(self) -> dict[str, Any]:
        """The counts, and the information of each source."""
        return {
            "axis": self.axis,
            "targets": list(self.targets),
            "behaviours": list(self.behaviours),
            "columns": list(self.columns),
            "places": _plain(self.places),
            "examples": _plain(self.examples),
            "present": _plain(self.present),
            "information": {source: _plain(self.information(source)) for source in self.sources},
            "log_odds_ratio": {source: _plain(self.effects(source)[0]) for source in self.sources},
        }


class MapCounts:
    """Counts the map over batches; a batch costs one matrix product of examples and cells.

    Args:
      options: The settings of the map.
      rows: Rows of the table that target and behaviours share.
      sources: Names of the runs whose predictions are mapped in addition to the label.
    """

    def __init__(self, options: MapOptions, *, rows: TableRows, sources: Sequence[str] = ()) -> None:
        self._options, self._rows = options, rows
        self._sources = (TRUTH, *sources)
        self._index = np.full(rows.number, len(options.categories), np.int64)
        self._index[list(options.categories)] = np.arange(len(options.categories))
        self._axes: dict[Axis, int] = {"position": options.positions}
        if options.times is not None:
            self._axes["interval"] = len(options.edges) + 1
        number = len(options.categories)
        self._of_target = np.zeros((number, 1 + 2 * len(self._sources)))
        self._of_cell = {
            axis: np.zeros((number, 1 + len(self._sources), (number + 1) * columns))
            for axis, columns in self._axes.items()
        }
        self._seconds, self._behaviours = np.zeros((2, len(options.edges) + 1))

    def add(self, batch: Arrays, *, responses: Mapping[str, npt.NDArray[Any]]) -> None:
        """Adds a batch.

        Args:
          batch: Column -> values; every row has a label.
          responses: `label` and each run -> `[B]`, labels and probabilities.
        """
        targets = self._targets(batch)
        there = np.asarray(targets.any(axis=1), np.bool_)
        if not there.any():
            return
        targets = targets[there].astype(np.float64)
        values = np.stack([np.ones(len(targets)), *(responses[name][there] for name in self._sources)], axis=1)
        squares = values[:, 1:] ** 2
        self._of_target += targets.T @ np.concatenate([values, squares], axis=1)
        weights = (targets[:, :, np.newaxis] * values[:, np.newaxis, :]).reshape(len(targets), -1)
        behaviours = batch[self._options.behaviours][there]
        counted = np.arange(behaviours.shape[1]) < lengths(behaviours)[:, np.newaxis]
        if self._options.kept is not None:
            counted &= self._options.kept.each(batch)[there]
        row, place = np.nonzero(counted)
        category = self._index[self._rows(behaviours[row, place])]
        for axis, columns in self._axes.items():
            if axis == "position":
                column = lengths(behaviours)[row] - place - 1
            else:
                column = self._buckets(batch, there, row, place)
            near = column < columns
            present = np.zeros((len(targets), (len(self._options.categories) + 1) * columns))
            present[row[near], category[near] * columns + column[near]] = 1.0
            self._of_cell[axis] += (weights.T @ present).reshape(self._of_cell[axis].shape)

    def result(self) -> dict[Axis, CellMap]:
        """The map of positions, and that of intervals if there are times."""
        return {axis: self._map(axis, columns) for axis, columns in self._axes.items()}

    def _map(self, axis: Axis, columns: int) -> CellMap:
        options, number, several = self._options, len(self._options.categories), len(self._sources)
        cells = self._of_cell[axis].reshape(number, 1 + several, number + 1, columns)
        examples, sums, squares = np.split(self._of_target, [1, 1 + several], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums / examples
            noise = np.nan_to_num((squares / examples - means**2) / (means * (1.0 - means)))
            intervals = np.where(self._behaviours > 0, self._seconds / self._behaviours, np.nan)
        position = axis == "position"
        return CellMap(
            axis=axis,
            targets=options.names,
            columns=tuple(str(p) for p in range(1, columns + 1)) if position else bucket_names(options.edges),
            places=np.arange(1.0, columns + 1.0) if position else intervals,
            examples=examples[:, 0],
            present=cells[:, 0],
            positives={name: sums[:, k] for k, name in enumerate(self._sources)},
            present_positives={name: cells[:, 1 + k] for k, name in enumerate(self._sources)},
            noise={name: noise[:, k] for k, name in enumerate(self._sources)},
        )

    def _targets(self, batch: Arrays) -> npt.NDArray[np.bool_]:
        """Whether the target is of each category, `[B, K]`; of several if it has several values."""
        found = self._index[self._rows(batch[self._options.target])]
        found = found[:, np.newaxis] if found.ndim == 1 else found
        hot = np.zeros((len(found), len(self._options.categories) + 1), np.bool_)
        hot[np.arange(len(found))[:, np.newaxis], found] = True
        return hot[:, :-1]

    def _buckets(
        self, batch: Arrays, there: npt.NDArray[np.bool_], row: npt.NDArray[Any], place: npt.NDArray[Any]
    ) -> npt.NDArray[np.int64]:
        options = self._options
        now, then = batch[str(options.now)][there], batch[str(options.times)][there]
        unit = _MILLISECONDS if options.time_unit == "ms" else 1
        seconds = np.maximum((now[row] - then[row, place]) / unit, 0.0)
        found: npt.NDArray[np.int64] = np.searchsorted(np.asarray(options.edges), seconds, side="right").astype(
            np.int64
        )
        self._seconds += np.bincount(found, seconds, minlength=len(self._seconds))
        self._behaviours += np.bincount(found, minlength=len(self._seconds))
        return found


def bucket_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Names of interval buckets, such as `< 1h`, `1h - 1d`, `>= 1d`."""
    texts = [duration(edge) for edge in edges]
    if not texts:
        return ("any",)
    between = [f"{low} - {high}" for low, high in itertools.pairwise(texts)]
    return (f"< {texts[0]}", *between, f"≥ {texts[-1]}")


def duration(seconds: float) -> str:
    """A duration in its largest whole unit: `90s`, `2h`, `1d`."""
    for name, unit in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:g}s"


def _plain(values: Floats) -> Any:
    """Nested lists; NaN is None."""
    if values.ndim == 1:
        return [None if np.isnan(value) else float(value) for value in values]
    return [_plain(value) for value in values]
