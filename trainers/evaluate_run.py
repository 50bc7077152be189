"""Evaluates the best weights of a run on a split of records."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Final

from fullrank.analysis.figures import reliability_diagram, roc_curve, segment_bars
from fullrank.analysis.tables import format_table
from fullrank.data.schema import Schema, SchemaError
from fullrank.data.schema_json import read_schema
from fullrank.models.metrics import BinaryEvaluator, RegressionEvaluator
from fullrank.models.metrics.binary_sums import NO_LABEL
from fullrank.trainers import against_baseline
from fullrank.trainers.duplicate_pairs import duplicate_inconsistency, read_duplicates
from fullrank.trainers.evaluate_config import EvaluateConfig
from fullrank.trainers.evaluate_notes import notes
from fullrank.trainers.gradient_figure import draw_gradients
from fullrank.trainers.load_run import LoadedRun, load_run
from fullrank.trainers.record_files import FILES
from fullrank.trainers.records import explained, read_split
from fullrank.trainers.same_schema import check_same_columns
from fullrank.trainers.score import score_batches
from fullrank.trainers.scored_rows import ScoredRows
from fullrank.trainers.table_records import tables_as_records
from fullrank.trainers.write_json import write_json

COLUMNS: Final = ("examples", "auc", "log_loss", "ne", "gauc", "ece", "bias", "base_rate")
VALUE_COLUMNS: Final = ("examples", "rmse", "mae", "gini", "decile_error", "bias", "mean_label", "mean_prediction")
_DECILES: Final = ("decile", "weight", "mean_prediction", "mean_label")
_DRAWN: Final = ("auc", "ne", "bias")
Evaluators = dict[str, BinaryEvaluator | RegressionEvaluator]


def evaluate_run(config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Evaluates, prints a table, and writes JSON and figures if asked to.

    Returns:
      Task -> statistics, as `BinaryEvaluator.result` or `RegressionEvaluator.result` gives them; with a baseline also
      `gain`, over it.

    Raises:
      ValueError: If run, data and columns do not fit together.
    """
    loaded = load_run(config.run)
    if config.input is None:
        schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
        return _evaluate(config, loaded, schema, shown=f"the {config.split} split of {schema.directory}")
    with tables_as_records(config.input, trained=loaded.schema, config=config, labels=True) as schema:
        return _evaluate(dataclasses.replace(config, split=FILES), loaded, schema, shown=config.input)


def _evaluate(config: EvaluateConfig, loaded: LoadedRun, schema: Schema, *, shown: str) -> dict[str, dict[str, Any]]:
    key, segments = _groups(config, loaded.schema)
    evaluators: Evaluators = {
        task: BinaryEvaluator(task=task, key=key, segments=segments)
        if loaded.model.outputs.label(task).type == "binary"
        else RegressionEvaluator(task=task, segments=segments)
        for task in loaded.model.wiring.tasks
    }
    baseline = load_run(config.baseline) if config.baseline is not None else None
    rows = ScoredRows() if baseline is not None else None
    compared = against_baseline.check_baseline(baseline, run=loaded, schema=schema) if baseline is not None else ()
    _stream(config, loaded, schema, evaluators, key=key, segments=segments, rows=rows)
    results = {task: evaluator.result() for task, evaluator in evaluators.items()}
    gains: against_baseline.Gains = {}
    if baseline is not None and rows is not None:
        gains = against_baseline.gains_over(
            baseline,
            rows,
            config=config,
            schema=schema,
            tasks=compared,
            weight=loaded.schema.weight,
            key=key,
            segments=segments,
        )
    for task in compared:
        if task not in gains:
            results[task]["gain"] = None
            results[task].setdefault("undefined", {})["gain"] = NO_LABEL
    for task, gain in gains.items():
        results[task]["gain"] = against_baseline.to_json(
            gain, baseline=str(config.baseline), min_keys=config.min_segment_keys
        )
    by = f", GAUC by {key}" if key else ""
    print(f"{loaded.directory.path} on {shown}{by}:")
    print(table(results))
    for note in notes(results, key=key):
        print(note)
    if config.duplicates is not None:
        _add_inconsistency(results, config, loaded, schema)
    if gains:
        print(f"NE gain over {config.baseline} in percent, 95 % intervals by {key or 'example'}:")
        print(against_baseline.describe(gains, min_keys=config.min_segment_keys))
    if config.json is not None:
        write_json(results, Path(config.json))
    if config.output is not None:
        for task, evaluator in evaluators.items():
            if isinstance(evaluator, BinaryEvaluator):
                draw(evaluator, results[task], task=task, directory=Path(config.output))
        against_baseline.draw(gains, directory=Path(config.output))
        draw_gradients(loaded, directory=Path(config.output))
    return results


def _add_inconsistency(
    results: dict[str, dict[str, Any]], config: EvaluateConfig, loaded: LoadedRun, schema: Schema
) -> None:
    duplicates = read_duplicates(str(config.duplicates), schema)
    batches = read_split(config, schema, split=config.split, cache=loaded.directory.repaired)
    with explained(schema, splits=[config.split]):
        found = duplicate_inconsistency(loaded.model, batches, duplicates, batch_size=config.batch_size)
    for task, value in found.items():
        results[task]["inconsistency"] = None if math.isnan(value) else value
        print(f"{task}: items of one {duplicates.group} differ by {value:.2%} in the same place.")


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
            raise SchemaError(f"--{flag}={name}: expected a column with one id an example.")
    return key, segments


def _stream(
    config: EvaluateConfig,
    loaded: LoadedRun,
    schema: Schema,
    evaluators: Evaluators,
    *,
    key: str | None,
    segments: tuple[str, ...],
    rows: ScoredRows | None = None,
) -> None:
    trained, model = loaded.schema, loaded.model
    weight = trained.weight
    read = (*model.outputs.rows.label_columns, weight, key, *segments)
    keep = tuple(dict.fromkeys(name for name in read if name is not None))
    needed = (*(column.name for column in trained.input_columns), *keep)
    check_same_columns(trained, schema, columns=needed)
    split = schema.split(config.split)
    with explained(schema, splits=[config.split]):
        batches = read_split(config, schema, split=config.split, cache=loaded.directory.repaired)
        for kept, scores in score_batches(model, batches, keep=keep, examples=split.examples, what="evaluating"):
            of_tasks = dict(zip(evaluators, model.outputs.rows.labels(kept).numpy().T, strict=True))
            if rows is not None:
                rows.add(kept | of_tasks, scores)
            weights = None if weight is None else kept[weight]
            in_segments = {name: kept[name] for name in segments}
            for task, evaluator in evaluators.items():
                labels, predicted = of_tasks[task], scores[task]
                if isinstance(evaluator, RegressionEvaluator):
                    evaluator.update(labels=labels, scores=predicted, weights=weights, segments=in_segments)
                else:
                    keys = None if key is None else kept[key]
                    evaluator.update(labels=labels, scores=predicted, weights=weights, keys=keys, segments=in_segments)


def table(results: dict[str, dict[str, Any]]) -> str:
    """A row a task, and one for each of the five largest values of each of its segments; value tasks have their own.

    Below it, the deciles of each value task.
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
    """Draws what is defined: reliability diagram, ROC curve, and bars for each segment."""
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
