"""Scores records or tables with a run or an export and writes the predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import check_new_file
from fullrank.data.schema.columns import Column
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.trainers.evaluation.configs import PredictConfig
from fullrank.trainers.evaluation.prediction_file import STANDARD_OUTPUT, Writer, open_predictions
from fullrank.trainers.evaluation.score import Arrays, score_batches
from fullrank.trainers.evaluation.scored_input import ScoredInput, open_input
from fullrank.trainers.evaluation.scorer import Scorer, scorer_of_export, scorer_of_run
from fullrank.trainers.evaluation.table_input import TableInput, TableReading
from fullrank.trainers.run.same_schema import check_same_columns

_TYPES = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.string()}


def predict_run(config: PredictConfig, *, reading: TableReading | None = None) -> int:
    """Writes one row per example: keys, labels, other requested columns, and `<task>_probability`.

    A task with a real value has `<task>_mean` instead. Outputs of chains and quantiles come last. Rows keep their
    order. Values of records that are missing are null.

    Args:
      config: The configuration of the prediction.
      reading: How tables are read; `None` for the defaults.

    Returns:
      The number of rows.

    Raises:
      FileExistsError: If the output exists and may not be replaced.
      ValueError: If model, records or tables, and columns do not fit together.
    """
    if config.output != STANDARD_OUTPUT:
        check_new_file(Path(config.output), overwrite=config.overwrite)
    if config.run is not None:
        scorer = scorer_of_run(config.run, best_of=config.best_of)
    else:
        scorer = scorer_of_export(str(config.export))
    inputs = [column.name for column in scorer.model.schema.input_columns]
    with (
        open_input(
            config,
            schema=scorer.schema,
            data=scorer.data,
            needed=inputs,
            carried=config.columns,
            reading=TableReading() if reading is None else reading,
        ) as source,
        temporary_directory("repaired") as scratch,
    ):
        copied = _copied(config, scorer.schema, source)
        check_same_columns(scorer.schema, source.schema, columns=inputs)
        fields = [(column.name, _TYPES[column.dtype]) for column in copied]
        arrow_schema = pa.schema([*fields, *((name, pa.float32()) for name in scorer.columns.values())])
        with (
            source.batches(config, cache=scorer.cache or scratch) as batches,
            open_predictions(config.output, arrow_schema) as writer,
        ):
            rows = _write(writer, arrow_schema, scorer, batches, copied, examples=source.examples)
        identified = bool(config.columns) or any(key.name in source.present for key in scorer.schema.keys)
        return _report(config, source, rows, arrow_schema, identified=identified)


def _report(config: PredictConfig, source: ScoredInput, rows: int, arrow_schema: pa.Schema, *, identified: bool) -> int:
    """Writes the rejected rows and reports the output; on standard error if standard output has the predictions."""
    shown = sys.stderr if config.output == STANDARD_OUTPUT else sys.stdout
    if isinstance(source, TableInput) and config.on_bad_record == "skip" and config.output != STANDARD_OUTPUT:
        source.write_rejects(config.rejects)
    for report in source.reports:
        print(report, file=shown)
    where = "standard output" if config.output == STANDARD_OUTPUT else config.output
    print(f"{where}: {rows:,} rows of {', '.join(arrow_schema.names)}.", file=shown)
    if not identified:
        print("Rows keep the order of the input; --columns=NAME copies a column, such as an id.", file=shown)
    return rows


def _write(
    writer: Writer, schema: pa.Schema, scorer: Scorer, batches: Any, copied: list[Column], *, examples: int
) -> int:
    keep = tuple(column.name for column in copied)
    rows = 0
    for kept, scores in score_batches(scorer.model, batches, keep=keep, examples=examples, what="predicting"):
        arrays = [_arrow(column, kept) for column in copied] + [pa.array(scores[name]) for name in scorer.columns]
        writer.write_batch(pa.record_batch(arrays, schema=schema))
        rows += len(arrays[-1])
    return rows


def _copied(config: PredictConfig, trained: Schema, source: ScoredInput) -> list[Column]:
    columns = {column.name: column for column in source.schema.columns if column.name in source.present}
    usual = [*(key.name for key in trained.keys), *(label.name for label in trained.labels)]
    for name in config.columns:
        if name not in columns or columns[name].form != "one":
            known = ", ".join(column.name for column in columns.values() if column.form == "one")
            raise SchemaError(f"--columns: {name!r} is not a column with one value per example. Those are: {known}.")
    names = dict.fromkeys([*(name for name in usual if name in columns), *config.columns])
    return [columns[name] for name in names]


def _arrow(column: Column, kept: Arrays) -> Any:
    values = kept[column.name]
    if column.dtype == "bytes":
        return pa.array([value.decode("utf-8", "backslashreplace") or None for value in values], pa.string())
    return pa.array(values, mask=np.isnan(values) if column.dtype == "float32" else values == column.missing)
