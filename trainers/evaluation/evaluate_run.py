"""Evaluates the best weights of a run on rows with labels.

Below the table it lists the metrics that are undefined, why, and the rows that metrics leave out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.reading.weights import example_weights
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models.metrics import BinaryEvaluator, RegressionEvaluator
from fullrank.models.metrics.binary_sums import NO_LABEL
from fullrank.trainers.evaluation import against_baseline
from fullrank.trainers.evaluation.configs import EvaluateConfig
from fullrank.trainers.evaluation.duplicate_pairs import duplicate_inconsistency, read_duplicates
from fullrank.trainers.evaluation.score import ScoredRows, score_batches
from fullrank.trainers.evaluation.scored_input import ScoredInput, open_input
from fullrank.trainers.evaluation.table_input import TableReading
from fullrank.trainers.run.metrics_log import MetricsLog
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run

COLUMNS: Final = ("examples", "auc", "log_loss", "ne", "gauc", "ece", "bias", "base_rate")
VALUE_COLUMNS: Final = ("examples", "rmse", "mae", "gini", "decile_error", "bias", "mean_label", "mean_prediction")
_DECILES: Final = ("decile", "weight", "mean_prediction", "mean_label")
_DRAWN: Final = ("auc", "ne", "bias")
_GRADIENTS: Final = "negative_gradient/"
Evaluators = dict[str, BinaryEvaluator | RegressionEvaluator]


def notes(results: Mapping[str, Mapping[str, Any]], *, key: str | None) -> Iterator[str]:
    """A sentence for each reason of each task.

    Args:
      results: Task -> statistics, as an evaluator returns them.
      key: Column that GAUC groups by.
    """
    for task, result in results.items():
        by_reason: dict[str, list[str]] = {}
        for name, reason in result.get("undefined", {}).items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            yield f"{task}: {', '.join(names)} undefined: {reason}."
        for segment, values in result["segments"].items():
            without = sum("undefined" in entry for entry in values.values())
            if without:
                yield f"{task}: {without:,} of {len(values):,} values of {segment} have undefined metrics, shown as -."
        left_out = result.get("gauc_rows_without_key", 0)
        if left_out:
            yield (
                f"{task}: GAUC leaves out {left_out:,} of {result['examples']:,} examples, which have no {key}; the "
                f"keys with both classes hold {result['gauc_share']:.1%} of the weight."
            )


def evaluate_run(config: EvaluateConfig, *, reading: TableReading | None = None) -> dict[str, dict[str, Any]]:
    """Evaluates, writes JSON and figures if requested, and prints a table.

    Args:
      config: The configuration of the evaluation.
      reading: How tables are read; `None` for the defaults.

    Returns:
      Task -> statistics, as `BinaryEvaluator.result` or `RegressionEvaluator.result` returns them; with a baseline also
      `gain`, over it.

    Raises:
      ValueError: If run, data and columns do not fit together.
    """
    loaded = load_run(config.run, best_of=config.best_of)
    key, segments = _groups(config, loaded.schema)
    baseline = load_run(config.baseline) if config.baseline is not None else None
    duplicates = str(config.duplicates).split(":") if config.duplicates is not None else []
    read = [model.schema.input_columns for model in (loaded.model, *([baseline.model] if baseline else []))]
    kept = _kept(loaded, key=key, segments=segments)
    with open_input(
        config,
        schema=loaded.directory.schema(),
        data=loaded.config.data.data,
        needed=[*(column.name for columns in read for column in columns), *kept, *duplicates],
        reading=TableReading() if reading is None else reading,
    ) as source:
        return _Evaluation(config, loaded, source, key=key, segments=segments).run(baseline)


class _Evaluation:
    """The parts of one evaluation."""

    def __init__(
        self,
        config: EvaluateConfig,
        loaded: LoadedRun,
        source: ScoredInput,
        *,
        key: str | None,
        segments: tuple[str, ...],
    ) -> None:
        self._config, self._loaded, self._source = config, loaded, source
        self._key, self._segments = key, segments
        self._evaluators: Evaluators = {
            task: BinaryEvaluator(task=task, key=key, segments=segments)
            if loaded.model.outputs.label(task).type == "binary"
            else RegressionEvaluator(task=task, segments=segments)
            for task in loaded.model.wiring.tasks
        }

    def run(self, baseline: LoadedRun | None) -> dict[str, dict[str, Any]]:
        """Scores, writes the requested files, then prints: if the reader closes the pipe, everything is written."""
        config = self._config
        compared: tuple[str, ...] = ()
        rows = None
        if baseline is not None:
            compared = against_baseline.check_baseline(baseline, run=self._loaded, schema=self._source.schema)
            rows = ScoredRows()
        self._stream(rows)
        results = {task: evaluator.result() for task, evaluator in self._evaluators.items()}
        gains = self._gains(baseline, rows, compared, results) if baseline is not None and rows is not None else {}
        inconsistent = self._inconsistency(results) if config.duplicates is not None else []
        self._write(results, gains)
        by = f", GAUC by {self._key}" if self._key else ""
        for report in self._source.reports:
            print(report)
        print(f"{self._loaded.directory.path} on {self._source.title}{by}:")
        print(table(results))
        for note in (*notes(results, key=self._key), *inconsistent):
            print(note)
        if gains:
            print(f"NE gain over {config.baseline} in percent, 95 % intervals by {self._key or 'example'}:")
            print(against_baseline.describe(gains, min_keys=config.min_segment_keys))
        return results

    def _gains(
        self, baseline: LoadedRun, rows: ScoredRows, compared: tuple[str, ...], results: dict[str, dict[str, Any]]
    ) -> against_baseline.Gains:
        """The gains over the baseline, which are added to the results, too."""
        gains = against_baseline.gains_over(
            baseline,
            rows,
            config=self._config,
            source=self._source,
            tasks=compared,
            weight=self._loaded.schema.weight,
            key=self._key,
            segments=self._segments,
        )
        for task in compared:
            if task not in gains:
                results[task]["gain"] = None
                results[task].setdefault("undefined", {})["gain"] = NO_LABEL
        for task, gain in gains.items():
            results[task]["gain"] = against_baseline.to_json(
                gain, baseline=str(self._config.baseline), min_keys=self._config.min_segment_keys
            )
        return gains

    def _inconsistency(self, results: dict[str, dict[str, Any]]) -> list[str]:
        """Adds and prints how differently near-duplicates are scored."""
        duplicates = read_duplicates(str(self._config.duplicates), self._source.schema)
        with self._source.batches(self._config, cache=self._loaded.directory.repaired) as batches:
            found = duplicate_inconsistency(self._loaded.model, batches, duplicates, batch_size=self._config.batch_size)
        for task, value in found.items():
            results[task]["inconsistency"] = None if math.isnan(value) else value
        return [
            f"{task}: items of one {duplicates.group} differ by {value:.2%} in the same place."
            for task, value in found.items()
        ]

    def _write(self, results: dict[str, dict[str, Any]], gains: against_baseline.Gains) -> None:
        config = self._config
        if config.json is not None:
            write_json(results, Path(config.json))
        if config.output is not None:
            for task, evaluator in self._evaluators.items():
                if isinstance(evaluator, BinaryEvaluator):
                    draw(evaluator, results[task], task=task, directory=Path(config.output))
            against_baseline.draw(gains, directory=Path(config.output))
            _draw_gradients(self._loaded, directory=Path(config.output))

    def _stream(self, rows: ScoredRows | None) -> None:
        """Scores every example, and keeps the scores in `rows` if they are needed later."""
        loaded, source, key = self._loaded, self._source, self._key
        trained, model = loaded.schema, loaded.model
        keep = _kept(loaded, key=key, segments=self._segments)
        needed = (*(column.name for column in trained.input_columns), *keep)
        check_same_columns(trained, source.schema, columns=needed)
        with source.batches(self._config, cache=loaded.directory.repaired) as batches:
            for kept, scores in score_batches(model, batches, keep=keep, examples=source.examples, what="evaluating"):
                of_tasks = dict(zip(self._evaluators, model.outputs.rows.labels(kept).numpy().T, strict=True))
                if rows is not None:
                    rows.add(kept | of_tasks, scores)
                weights = example_weights(kept, trained.weight)
                in_segments = {name: kept[name] for name in self._segments}
                for task, evaluator in self._evaluators.items():
                    labels, predicted = of_tasks[task], scores[task]
                    if isinstance(evaluator, RegressionEvaluator):
                        evaluator.update(labels=labels, scores=predicted, weights=weights, segments=in_segments)
                    else:
                        keys = None if key is None else kept[key]
                        evaluator.update(
                            labels=labels, scores=predicted, weights=weights, keys=keys, segments=in_segments
                        )


def _kept(loaded: LoadedRun, *, key: str | None, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that statistics need."""
    read = (*loaded.model.outputs.rows.label_columns, loaded.schema.weight, key, *segments)
    return tuple(dict.fromkeys(name for name in read if name is not None))


def _groups(config: EvaluateConfig, schema: Schema) -> tuple[str | None, tuple[str, ...]]:
    key = config.key or (schema.keys[0].name if schema.keys else None)
    segments = config.segments or tuple(segment.name for segment in schema.segments)
    columns = {column.name: column for column in schema.columns}
    for flag, name in [("key", key), *(("segments", name) for name in segments)]:
        if name is None:
            continue
        if name not in columns:
            raise SchemaError(f"--{flag}={name}: the data has no such column. Columns: {', '.join(columns)}.")
        if columns[name].form != "one" or columns[name].dtype == "float32":
            raise SchemaError(f"--{flag}={name}: expected a column with one id per example.")
    return key, segments


def table(results: dict[str, dict[str, Any]]) -> str:
    """One row per task and per value of its segments, at most five of each.

    Value tasks have a table of their own, followed by the deciles of each.
    """
    values = {task: result for task, result in results.items() if "rmse" in result}
    binary = {task: result for task, result in results.items() if task not in values}
    tables = [
        format_table(rows=_rows(some), columns=("task", "segment", *columns))
        for some, columns in ((binary, COLUMNS), (values, VALUE_COLUMNS))
        if some
    ]
    for task, result in values.items():
        found = result["deciles"]
        rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        numbered = [{"decile": number, **row} for number, row in enumerate(rows, 1)]
        tables.append(f"{task} by predicted value, equal weights:\n" + format_table(rows=numbered, columns=_DECILES))
    return "\n".join(tables)


def _rows(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for task, result in results.items():
        rows.append({"task": task, "segment": "all", **result})
        for segment, values in result["segments"].items():
            ranked = sorted(values.items(), key=lambda item: -item[1]["examples"])[:5]
            rows.extend({**entry, "task": task, "segment": f"{segment}={value}"} for value, entry in ranked)
    return rows


def draw(evaluator: BinaryEvaluator, result: dict[str, Any], *, task: str, directory: Path) -> None:
    """Draws the defined statistics: reliability diagram, ROC curve, and bars for each segment."""
    # Matplotlib is loaded only to draw.
    from fullrank.analysis.figures import reliability_diagram, roc_curve, segment_bars

    if not result["examples"]:
        return
    reliability_diagram(**evaluator.reliability(), task=task, path=directory / f"{task}_reliability.png")
    if result["auc"] is not None:
        roc_curve(
            **evaluator.roc(),
            auc=result["auc"],
            examples=result["examples"],
            positives=result["positives"],
            task=task,
            path=directory / f"{task}_roc.png",
        )
    for segment, values in result["segments"].items():
        for statistic in _DRAWN if values else ():
            segment_bars(
                values=values,
                segment=segment,
                statistic=statistic,
                overall=result[statistic],
                task=task,
                path=directory / f"{task}_{segment}_{statistic}.png",
            )


def _draw_gradients(loaded: LoadedRun, *, directory: Path) -> Path | None:
    """Draws what `--log_gradients` recorded: mean gradients on logits of negatives over the epochs ([Tencent] §6.1).

    Args:
      loaded: The run.
      directory: Where to write.

    Returns:
      The figure; `None` if the run did not log gradients, or has none above 0.
    """
    from fullrank.analysis.figures import negative_gradient_lines

    epochs = [line for line in MetricsLog(loaded.directory.metrics_file).lines() if line["kind"] == "epoch"]
    names = [name for name in (epochs[0] if epochs else {}) if name.startswith(_GRADIENTS)]
    lines = {name.removeprefix(_GRADIENTS): [float(epoch.get(name) or 0.0) for epoch in epochs] for name in names}
    if not any(value > 0 for line in lines.values() for value in line):
        return None
    outputs = loaded.model.outputs
    task = outputs.tasks[outputs.binary[0]]
    path = directory / f"{task}_negative_gradients.png"
    negative_gradient_lines(gradients=lines, base_rate=outputs.label(task).mean, task=task, path=path)
    return path
