"""Several runs on the same examples: metrics of each, and the gain of each over the first, per task and segment."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.analysis.comparisons.key_bootstrap import LEAST_KEYS
from fullrank.analysis.comparisons.paired_gain import ALL, PairedGain, SegmentGain, paired_gain
from fullrank.analysis.inputs.run_scores import ENDING, score_run
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema, SchemaError

MOST_SEGMENTS: Final = 200
"""The number of values of a segment that are compared individually; the others are pooled."""
_OTHERS: Final = "(others)"
_COLUMNS: Final = (
    "task", "segment", "value", "run", "examples", "keys", "auc", "ne", "bias", "gain", "low", "high", "verdict",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """One run on all examples of a task; undefined statistics are NaN."""

    examples: int
    auc: float
    ne: float
    bias: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The examples with the scores of every run.

    Attributes:
      labels: Task -> `[N]`, NaN where not observed.
      scores: Task -> run -> `[N]`, probabilities.
      segments: Column -> `[N]`, texts.
      keys: `[N]`, codes; `None` if every example is independent.
      weights: `[N]`; `None` for ones.
    """

    labels: dict[str, npt.NDArray[np.float64]]
    scores: dict[str, dict[str, npt.NDArray[np.float64]]]
    segments: dict[str, npt.NDArray[Any]]
    keys: npt.NDArray[np.int64] | None
    weights: npt.NDArray[np.float64] | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunComparison:
    """The result of a comparison.

    Attributes:
      baseline: Name of the first run.
      names: Names of all runs.
      title: Description of the examples.
      key: Column of independent units; `None` if every example is independent.
      metrics: Task -> run -> metrics on all examples.
      gains: Task -> run -> segment column -> its gain over the baseline; the column is empty for all examples.
      left_out: Tasks that are not compared -> why.
      scored: The scored examples.
    """

    baseline: str
    names: tuple[str, ...]
    title: str
    key: str | None
    metrics: dict[str, dict[str, RunMetrics]]
    gains: dict[str, dict[str, dict[str, PairedGain]]]
    left_out: dict[str, str]
    scored: Scored

    def worst(self, task: str, run: str) -> tuple[str, SegmentGain] | None:
        """Segment column and value with the smallest gain among those with enough keys; `None` without one."""
        found = [(column, gain.worst()) for column, gain in self.gains[task][run].items() if column]
        known = [(column, entry) for column, entry in found if entry is not None]
        return min(known, key=lambda item: item[1].gain, default=None)

    def rows(self) -> list[dict[str, Any]]:
        """One row per task, run and segment value, as in the CSV file; undefined numbers are None."""
        found: list[dict[str, Any]] = []
        for task, runs in self.metrics.items():
            for run, metrics in runs.items():
                whole = {"task": task, "segment": "", "value": ALL, "run": run, **dataclasses.asdict(metrics)}
                gains = self.gains[task].get(run, {})
                overall = gains[""].overall if gains else None
                found.append(whole | ({} if overall is None else _gain(overall)))
                for column, gain in gains.items():
                    for entry in gain.segments if column else ():
                        row = {"task": task, "segment": column, "value": entry.segment, "run": run, "ne": entry.ne}
                        found.append({**row, "examples": entry.examples, **_gain(entry)})
        return [{name: _plain(row.get(name)) for name in _COLUMNS} for row in found]

    def to_json(self) -> dict[str, Any]:
        """All numbers."""
        worst: dict[str, dict[str, Any]] = {}
        for task, runs in self.gains.items():
            for run in runs:
                entry = self.worst(task, run)
                if entry is not None:
                    column, segment = entry
                    gain = {"verdict_of_all": segment.verdict_of_all, **_gain(segment)}
                    worst.setdefault(task, {})[run] = {"segment": column, "value": segment.segment, **gain}
        return {
            "baseline": self.baseline,
            "runs": list(self.names),
            "title": self.title,
            "key": self.key,
            "left_out": self.left_out,
            "worst": worst,
            "rows": self.rows(),
        }

    def to_csv(self) -> str:
        """The rows as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()


def compare_runs(
    runs: Mapping[str, str | Path],
    *,
    data: str | Path | None,
    split: str,
    key: str | None = None,
    segments: Sequence[str] = (),
    draws: int = 1000,
    directory: Path,
) -> RunComparison:
    """Scores the same examples with every run and compares.

    Args:
      runs: Name -> run directory, or a Parquet file of predictions; the first is the baseline.
      data: Directory of the records; `None` for the one that the first run was trained on.
      split: Split to score.
      key: Column whose values are independent; the schema's first key if `None`, or every example.
      segments: Columns to compare by; those of the schema if empty.
      draws: Draws of the bootstrap.
      directory: Directory for the predictions.

    Raises:
      ValueError: If there is no common binary task, the runs scored different examples, or a file of predictions lacks
        a column.
    """
    names = tuple(runs)
    directory_of_data = Path(data) if data is not None else data_of(runs[names[0]])
    schema = read_schema(directory_of_data)
    schema.split(split)
    key = key if key is not None else (schema.keys[0].name if schema.keys else None)
    columns = tuple(segments) or tuple(segment.name for segment in schema.segments)
    copied = [name for name in dict.fromkeys([key, *columns, schema.weight]) if name is not None]
    _check_columns(copied, schema)
    tables = {
        name: _read(
            score_run(run, data=directory_of_data, split=split, output=directory / f"{k}.parquet", columns=copied)
        )
        for k, (name, run) in enumerate(runs.items())
    }
    first = tables[names[0]]
    _check_read(first, copied, file=runs[names[0]])
    _check_same(tables)
    tasks, left_out = _tasks(tables, schema)
    weight = None if schema.weight is None else np.nan_to_num(_numbers(first, schema.weight), nan=1.0)
    groups = {"": None, **{name: _texts(first, name) for name in columns}}
    keys = None if key is None else _codes(first, key)
    metrics: dict[str, dict[str, RunMetrics]] = {}
    gains: dict[str, dict[str, dict[str, PairedGain]]] = {}
    scored = Scored(
        labels={task: _numbers(first, task) for task in tasks},
        scores={task: {n: _numbers(table, f"{task}{ENDING}") for n, table in tables.items()} for task in tasks},
        segments={name: column for name, column in groups.items() if column is not None},
        keys=keys,
        weights=weight,
    )
    for task, scores in scored.scores.items():
        label = scored.labels[task]
        metrics[task] = {name: _metrics(label, predicted, weight) for name, predicted in scores.items()}
        gains[task] = {
            name: {
                column: paired_gain(
                    labels=label,
                    baseline=scores[names[0]],
                    predictions=scores[name],
                    segments=of_column,
                    keys=keys,
                    weights=weight,
                    draws=draws,
                    columns=max(1, len(columns) * (len(names) - 1)),
                )
                for column, of_column in groups.items()
            }
            for name in names[1:]
        }
    return RunComparison(
        baseline=names[0],
        names=names,
        title=f"the {split} split of {schema.directory}",
        key=key,
        metrics=metrics,
        gains=gains,
        left_out=left_out,
        scored=scored,
    )


def data_of(run: str | Path) -> Path:
    """The directory of the records that a run was trained on.

    Raises:
      ValueError: If there is no run.
    """
    file = Path(run) / "config.json"
    if not file.is_file():
        raise ValueError(f"{run} is not a run directory: it has no config.json. Give --data with files of predictions.")
    return Path(json.loads(file.read_text(encoding="utf-8"))["config"]["data"]["data"])


def _check_columns(names: Sequence[str], schema: Schema) -> None:
    known = {column.name: column for column in schema.columns}
    for name in names:
        if name not in known or known[name].form != "one":
            raise SchemaError(f"{name!r} is not a column of {schema.name!r} with one value per example.")


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{file} is not a Parquet file of predictions: {error}.") from error


def _check_read(table: pa.Table, columns: Sequence[str], *, file: str | Path) -> None:
    """Rejects predictions without the key, the segments or the weight, which are read from those of the first run."""
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise ValueError(
            f"{file} lacks the column(s) {', '.join(map(repr, lacking))}, by which the schema or the command line "
            f"weights or groups examples: write the file again with `fullrank predict --columns={','.join(lacking)}`."
        )


def _check_same(tables: Mapping[str, pa.Table]) -> None:
    """Rejects predictions of different examples, judging by labels and keys."""
    (name, first), *others = tables.items()
    for other, table in others:
        if table.num_rows != first.num_rows:
            raise ValueError(
                f"{name} has {first.num_rows:,} examples and {other} {table.num_rows:,}: their data differ."
            )
        for column in first.column_names:
            shared = column in table.column_names and not column.endswith(ENDING) and not column.endswith("_mean")
            if shared and not first[column].equals(table[column]):
                raise ValueError(
                    f"{other} has other values of {column!r} than {name}: they come from different examples."
                )


def _tasks(tables: Mapping[str, pa.Table], schema: Schema) -> tuple[list[str], dict[str, str]]:
    labels = {label.name for label in schema.labels if label.type == "binary"}
    everywhere: list[str] = []
    left_out: dict[str, str] = {}
    for table in tables.values():
        for column in table.column_names:
            task = column.removesuffix(ENDING)
            if not column.endswith(ENDING) or task in everywhere or task in left_out:
                continue
            without = [name for name, other in tables.items() if column not in other.column_names]
            if without:
                left_out[task] = f"{', '.join(without)} does not predict it"
            elif task not in labels or task not in next(iter(tables.values())).column_names:
                left_out[task] = "the records have no binary label of it"
            elif not np.isfinite(_numbers(next(iter(tables.values())), task)).any():
                left_out[task] = "its label was not observed"
            else:
                everywhere.append(task)
    if not everywhere:
        why = "; ".join(f"{task}: {reason}" for task, reason in left_out.items())
        raise ValueError(f"The runs have no binary task in common. {why or 'None predicts one'}.")
    return everywhere, left_out


def _metrics(label: npt.NDArray[Any], predicted: npt.NDArray[Any], weight: npt.NDArray[Any] | None) -> RunMetrics:
    # Imported here because it takes a second, which `compare --help` need not wait for.
    from sklearn.metrics import log_loss, roc_auc_score

    seen = ~np.isnan(label)
    y, p, w = label[seen], predicted[seen], None if weight is None else weight[seen]
    rate = float(np.average(y, weights=w))
    both = 0.0 < rate < 1.0
    entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate) if both else math.nan
    return RunMetrics(
        examples=int(seen.sum()),
        auc=float(roc_auc_score(y, p, sample_weight=w)) if both else math.nan,
        ne=float(log_loss(y, np.clip(p, 1e-7, 1 - 1e-7), sample_weight=w)) / entropy if both else math.nan,
        bias=float(np.average(p, weights=w)) / rate if rate else math.nan,
    )


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = table[name].to_numpy().astype(np.float64)
    return found


def _codes(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """A code for each key; each missing key has its own code."""
    values = table[name].combine_chunks()
    codes: npt.NDArray[np.int64] = values.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    nothing: Any = -1 if pa.types.is_integer(values.type) else ""
    missing = (codes < 0) | np.asarray(values.to_numpy(zero_copy_only=False) == nothing, np.bool_)
    codes = codes.astype(np.int64)
    codes[missing] = int(codes.max(initial=0)) + 1 + np.arange(missing.sum())
    return codes


def _texts(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """Values as text; all but the most frequent ones are pooled."""
    texts = np.array([("(missing)" if v in (None, "", -1) else str(v)) for v in table[name].to_pylist()])
    names, counts = np.unique(texts, return_counts=True)
    rare = names[np.argsort(-counts, kind="stable")[MOST_SEGMENTS:]]
    return np.where(np.isin(texts, rare), _OTHERS, texts)


def _gain(entry: SegmentGain) -> dict[str, Any]:
    verdict = entry.verdict if entry.keys >= LEAST_KEYS else "too few keys"
    return {"keys": entry.keys, "gain": entry.gain, "low": entry.low, "high": entry.high, "verdict": verdict}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
