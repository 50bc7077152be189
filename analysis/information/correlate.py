"""Streams records once through all counts, in memory that depends on values and cells, not on examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.analysis.information.behaviour_map import TRUTH, Axis, CellMap, MapCounts, MapOptions
from fullrank.analysis.information.decay import Decay, agreement, decay_of
from fullrank.analysis.information.feature_codes import coded_constraint, coded_features
from fullrank.analysis.information.learned_pairs import Strengths, beside
from fullrank.analysis.information.mutual_information import Information, information
from fullrank.analysis.information.pair_counts import Pair, PairCounts
from fullrank.analysis.information.request import (
    MapColumns,
    Request,
    binary_label,
    check_features,
    constraints_of,
    edges_of,
    map_columns,
)
from fullrank.analysis.inputs.run_scores import ScoreReader
from fullrank.data.reading.bad_records import explain
from fullrank.data.reading.pipeline import INPUT_ERRORS
from fullrank.data.reading.read import read_records
from fullrank.data.schema.features import Bits, Vector
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.table_rows import TableRows
from fullrank.data.schema.value_rules import without_features

Arrays = dict[str, npt.NDArray[Any]]
Codes = npt.NDArray[np.int64]
SAMPLE: Final = 200_000
"""Examples at the start of the split from which the frequent values are determined."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranked:
    """One X and its information about the label."""

    name: str
    kind: str
    found: Information

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        return {"name": self.name, "kind": self.kind, **self.found.to_json()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Correlation:
    """The result of a correlation analysis.

    Attributes:
      title: Description of the examples.
      label: The label.
      examples: Examples counted.
      positives: Those with label 1.
      ranking: Features and constraints, the most informative first.
      left_out: Features that cannot be counted -> why.
      pairs: Pairs of features, the largest interaction first; empty if not requested.
      learned_pairs: Expert -> how the strengths that it learned agree with them; empty if not requested.
      maps: By axis; empty without behaviours.
      decays: One per axis and source, for the same category and for the others.
      agreements: Run -> axis -> rank correlation with the truth.
      behaviour: Description of the behaviours and the target of the maps.
    """

    title: str
    label: str
    examples: int
    positives: int
    ranking: tuple[Ranked, ...]
    left_out: dict[str, str]
    pairs: tuple[Pair, ...]
    learned_pairs: dict[str, dict[str, Any]]
    maps: dict[Axis, CellMap]
    decays: tuple[Decay, ...]
    agreements: dict[str, dict[Axis, dict[str, Any]]]
    behaviour: str

    @property
    def entropy(self) -> float:
        """Entropy of the label in nats, which no feature can exceed."""
        rate = self.positives / self.examples
        return float(-sum(p * np.log(p) for p in (rate, 1 - rate) if p > 0))

    def to_json(self) -> dict[str, Any]:
        """All numbers, as in `correlation.json`."""
        return {
            "title": self.title,
            "label": self.label,
            "examples": self.examples,
            "positives": self.positives,
            "entropy": self.entropy,
            "ranking": [each.to_json() for each in self.ranking],
            "left_out": self.left_out,
            "pairs": [pair.to_json() for pair in self.pairs],
            "learned_pairs": self.learned_pairs,
            "behaviour": self.behaviour,
            "maps": {axis: cells.to_json() for axis, cells in self.maps.items()},
            "decays": [decay.to_json() for decay in self.decays],
            "agreements": self.agreements,
        }


def correlate(
    schema: Schema, request: Request, *, scores: Mapping[str, Path] | None = None, strengths: Strengths | None = None
) -> Correlation:
    """Measures what features, pairs and behaviours tell about a label.

    Args:
      schema: A schema that was read from a directory of records.
      request: What to measure.
      scores: Name of a run -> its predictions for the split; it gets a learned map.
      strengths: What experts of a run learned for pairs; needs a request of pairs.

    Raises:
      ValueError: If something requested does not exist, or no example is left.
    """
    return _Stream(schema, request, scores or {}, strengths or {}).run()


class _Stream:
    def __init__(self, schema: Schema, request: Request, scores: Mapping[str, Path], strengths: Strengths) -> None:
        schema.split(request.split)
        check_features(request, schema)
        self._schema, self._request, self._scores = schema, request, scores
        self._strengths = strengths
        self._label = binary_label(schema, request.label)
        self._where, constraints = constraints_of(request, schema)
        features, left_out = coded_features(schema, buckets=request.buckets)
        chosen = [f for f in features if not request.features or f.feature in request.features]
        self._coded = [*chosen, *map(coded_constraint, constraints)]
        self._left_out = {n: why for n, why in left_out.items() if not request.features or n in request.features}
        self._edges = edges_of(request.intervals)
        if not self._coded:
            raise ValueError(f"No feature can be counted: {'; '.join(f'{n}: {why}' for n, why in left_out.items())}.")
        columns = map_columns(request, schema)
        self._map = None if columns is None else (columns, TableRows(schema, columns.table))
        self._counts = [np.zeros((coded.size, 2), np.int64) for coded in self._coded]
        self._seen = 0

    def run(self) -> Correlation:
        frequent, categories = self._sample()
        pairs = PairCounts(self._coded, values=frequent) if self._request.pairs else None
        cells = self._cells(*self._map, categories) if self._map is not None else None
        for batch, responses in self._batches(self._scores):
            label = responses[TRUTH].astype(np.int64)
            codes = [coded.codes(batch) for coded in self._coded]
            for counts, each in zip(self._counts, codes, strict=True):
                _count(counts, each, label)
            if pairs is not None:
                pairs.add(codes, label)
            if cells is not None:
                cells.add(batch, responses=responses)
        return self._result(pairs, cells)

    def _result(self, pairs: PairCounts | None, cells: MapCounts | None) -> Correlation:
        request = self._request
        ranking = [
            Ranked(name=c.name, kind=c.kind, found=information(counts, draws=request.draws, seed=request.seed))
            for c, counts in zip(self._coded, self._counts, strict=True)
        ]
        maps = cells.result() if cells is not None else {}
        measured = tuple(pairs.result()) if pairs is not None else ()
        examples = int(self._counts[0].sum())
        return Correlation(
            title=self._title,
            label=self._label,
            examples=examples,
            positives=int(self._counts[0][:, 1].sum()),
            ranking=tuple(sorted(ranking, key=lambda each: -each.found.corrected)),
            left_out=self._left_out,
            pairs=measured,
            learned_pairs=beside(measured, self._strengths),
            maps=maps,
            decays=tuple(
                decay_of(found, source=source, same=same)
                for found in maps.values()
                for source in found.sources
                for same in (True, False)
            ),
            agreements={
                run: {axis: agreement(found, source=run, least=request.least) for axis, found in maps.items()}
                for run in (self._scores if maps else ())
            },
            behaviour=self._behaviour,
        )

    @property
    def _behaviour(self) -> str:
        if self._map is None:
            return ""
        columns, _ = self._map
        which = f" where {columns.kept.text}" if columns.kept.conditions else ""
        return f"{columns.behaviours}{which} against {columns.target}"

    @property
    def _title(self) -> str:
        where = f" where {self._where.text}" if self._where.conditions else ""
        return f"the {self._request.split} split of {self._schema.directory}{where}"

    def _sample(self) -> tuple[dict[str, Codes], Codes]:
        """Looks at the first examples that count.

        Returns:
          The most frequent codes of each X, and the rows of the most frequent target categories.

        Raises:
          ValueError: If no example of the whole split counts, or they all have one label.
        """
        values = {coded.name: np.zeros(coded.size, np.int64) for coded in self._coded if self._request.pairs}
        targets = np.zeros(self._map[1].number if self._map is not None else 0, np.int64)
        labels: set[float] = set()
        rows = 0
        for batch, responses in self._batches({}):
            for coded in self._coded if self._request.pairs else ():
                values[coded.name] += np.bincount(coded.codes(batch), minlength=coded.size)
            if self._map is not None:
                columns, rows_of = self._map
                targets += np.bincount(rows_of(batch[columns.target]).ravel(), minlength=len(targets))
            labels |= set(np.unique(responses[TRUTH]).tolist())
            rows += len(responses[TRUTH])
            if rows >= SAMPLE:
                break
        self._check(rows, labels)
        targets[:1] = 0
        frequent = {name: _most_frequent(seen, self._request.pair_values) for name, seen in values.items()}
        return frequent, _most_frequent(targets, self._request.categories)

    def _check(self, rows: int, labels: set[float]) -> None:
        if not rows:
            condition = f" with --where={self._where.text!r}" if self._where.conditions else ""
            raise ValueError(
                f"None of the {self._seen:,} examples of split {self._request.split!r}{condition} counts: the "
                f"constraint matches nothing, or label {self._label!r} is missing in what it matches."
            )
        if len(labels) < 2 and rows < SAMPLE:
            raise ValueError(
                f"All {rows:,} examples of {self._title} have {self._label} = {labels.pop():g}: a label of one value "
                "depends on nothing."
            )

    def _batches(self, scores: Mapping[str, Path]) -> Iterator[tuple[Arrays, Arrays]]:
        """Columns of the examples that count, and their responses: the label and the predictions of each run."""
        request = self._request
        readers = {name: ScoreReader(file, task=self._label) for name, file in scores.items()}
        columns = self._columns()
        self._seen = 0
        unread = [f.name for f in self._schema.features if isinstance(f, Vector | Bits)]
        schema = without_features(self._schema, unread) if len(unread) < len(self._schema.features) else self._schema
        try:
            for tensors in read_records(schema, split=request.split, batch_size=request.batch_size):
                batch: Arrays = {name: tensors[name].numpy() for name in columns}
                label = batch[self._label]
                self._seen += len(label)
                predicted = {name: reader.take(label) for name, reader in readers.items()}
                kept = ~np.isnan(label) & self._where.holds(batch)
                if kept.any():
                    yield (
                        {name: values[kept] for name, values in batch.items()},
                        {TRUTH: label[kept].astype(np.float64), **{n: p[kept] for n, p in predicted.items()}},
                    )
        except INPUT_ERRORS as error:
            raise explain(error, schema=schema, split=request.split) from error

    def _columns(self) -> list[str]:
        found = [self._label, *self._where.columns, *(name for coded in self._coded for name in coded.columns)]
        if self._map is not None:
            columns, _ = self._map
            found += [columns.behaviours, columns.target, *columns.kept.columns]
            if columns.times is not None and self._schema.time is not None:
                found += [columns.times, self._schema.time]
        return list(dict.fromkeys(found))

    def _cells(self, columns: MapColumns, rows: TableRows, categories: Codes) -> MapCounts:
        request = self._request
        length = next(c.length for c in self._schema.columns if c.name == columns.behaviours)
        options = MapOptions(
            target=columns.target,
            behaviours=columns.behaviours,
            kept=columns.kept if columns.kept.conditions else None,
            times=columns.times,
            now=self._schema.time,
            time_unit=self._schema.time_unit,
            categories=tuple(categories.tolist()),
            names=tuple(rows.name(row) for row in categories.tolist()),
            positions=min(request.positions, length),
            edges=self._edges,
        )
        return MapCounts(options, rows=rows, sources=tuple(self._scores))


def _count(counts: Codes, codes: Codes, label: Codes) -> None:
    """Adds a batch; in a large table, only the cells of the batch are touched."""
    places, flat = codes * 2 + label, counts.reshape(-1)
    if flat.size > 4 * places.size:
        np.add.at(flat, places, 1)
    else:
        flat += np.bincount(places, minlength=flat.size)


def _most_frequent(seen: Codes, number: int) -> Codes:
    """Codes that were seen, the most frequent first; ties in their order."""
    order = np.argsort(-seen, kind="stable")[:number]
    return order[seen[order] > 0]
