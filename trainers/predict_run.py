"""Scores records or tables with the best weights of a run and writes the predictions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fullrank.data.columns import Column
from fullrank.data.find_files import are_tables
from fullrank.data.schema import Schema, SchemaError
from fullrank.data.schema_json import read_schema
from fullrank.data.write_aside import file_aside
from fullrank.models import Ranker
from fullrank.trainers.load_run import LoadedRun, load_run
from fullrank.trainers.predict_config import PredictConfig
from fullrank.trainers.record_files import FILES, schema_of_files
from fullrank.trainers.records import explained, read_split
from fullrank.trainers.same_schema import check_same_columns
from fullrank.trainers.score import Arrays, score_batches
from fullrank.trainers.table_records import tables_as_records

STANDARD_OUTPUT: Final = "-"
_TYPES = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.string()}


def predict_run(config: PredictConfig) -> int:
    """Writes one row an example: keys, labels and other columns asked for, and `<task>_probability`.

    Of a task with a real value it is `<task>_mean`. What a chain and quantiles add comes last.

    Returns:
      The number of rows.

    Raises:
      ValueError: If run, records and columns do not fit together.
    """
    loaded = load_run(config.run)
    with _source(config, loaded) as (schema, split):
        return _predict(config, loaded, schema, split)


def _predict(config: PredictConfig, loaded: LoadedRun, schema: Schema, split: str) -> int:
    trained = loaded.schema
    copied = _copied(config, trained, schema)
    check_same_columns(trained, schema, columns=[column.name for column in trained.input_columns])
    predicted = _predicted(loaded.model)
    fields = [(column.name, _TYPES[column.dtype]) for column in copied]
    arrow_schema = pa.schema([*fields, *((name, pa.float32()) for name in predicted.values())])
    with (
        explained(schema, splits=[split]),
        _writer(config.output, arrow_schema) as writer,
    ):
        batches = read_split(config, schema, split=split, cache=loaded.directory.repaired)
        rows = _write(writer, loaded.model, batches, copied, examples=schema.split(split).examples)
    if config.output != STANDARD_OUTPUT:
        print(f"{config.output}: {rows:,} rows of {', '.join(arrow_schema.names)}.")
    return rows


@contextlib.contextmanager
def _writer(output: str, schema: pa.Schema) -> Iterator[Any]:
    """What takes batches: a Parquet or CSV file, or standard output."""
    if output == STANDARD_OUTPUT:
        with pa_csv.CSVWriter(pa.PythonFile(sys.stdout.buffer, mode="w"), schema) as writer:
            yield writer
        return
    with file_aside(Path(output), alone=True) as aside:
        kind = pa_csv.CSVWriter if Path(output).suffix == ".csv" else pq.ParquetWriter
        with kind(aside, schema) as writer:
            yield writer


def _write(writer: Any, model: Ranker, batches: Any, copied: list[Column], *, examples: int) -> int:
    keep = tuple(column.name for column in copied)
    rows = 0
    for kept, scores in score_batches(model, batches, keep=keep, examples=examples, what="predicting"):
        predicted = _predicted(model)
        arrays = [_arrow(column, kept) for column in copied] + [pa.array(scores[name]) for name in predicted]
        names = [*keep, *predicted.values()]
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, names=names))
        rows += len(arrays[-1])
    return rows


def _predicted(model: Ranker) -> dict[str, str]:
    """Output of the model -> column."""
    own = {task: "mean" if n in model.outputs.values else "probability" for n, task in enumerate(model.wiring.tasks)}
    return {name: f"{name}_{own[name]}" if name in own else name for name in model.outputs.names}


@contextlib.contextmanager
def _source(config: PredictConfig, loaded: LoadedRun) -> Iterator[tuple[Schema, str]]:
    if config.input is None:
        schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
        schema.split(config.split)
        yield schema, config.split
    elif are_tables(config.input):
        with tables_as_records(
            config.input, trained=loaded.schema, config=config, labels=False, carried=config.columns
        ) as schema:
            yield schema, FILES
    else:
        yield schema_of_files(config.input, trained=loaded.schema), FILES


def _copied(config: PredictConfig, trained: Schema, schema: Schema) -> list[Column]:
    columns = {column.name: column for column in schema.columns}
    usual = [*(key.name for key in trained.keys), *(label.name for label in trained.labels)]
    for name in config.columns:
        if name not in columns or columns[name].form != "one":
            known = ", ".join(column.name for column in schema.columns if column.form == "one")
            raise SchemaError(f"--columns: {name!r} is no column with one value an example. Those are: {known}.")
    names = dict.fromkeys([*(name for name in usual if name in columns), *config.columns])
    return [columns[name] for name in names]


def _arrow(column: Column, kept: Arrays) -> Any:
    values = kept[column.name]
    if column.dtype == "bytes":
        return pa.array([value.decode("utf-8", "backslashreplace") for value in values], pa.string())
    return pa.array(values, mask=np.isnan(values) if column.dtype == "float32" else None)
