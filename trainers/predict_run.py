"""Scores records with the best weights of a run and writes the predictions as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.data.columns import Column
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
    trained = loaded.schema
    schema, split = _source(config, loaded)
    copied = _copied(config, trained, schema)
    check_same_columns(trained, schema, columns=[column.name for column in trained.input_columns])
    predicted = _predicted(loaded.model)
    fields = [(column.name, _TYPES[column.dtype]) for column in copied]
    arrow_schema = pa.schema([*fields, *((name, pa.float32()) for name in predicted.values())])
    target = Path(config.output)
    with (
        file_aside(target, alone=True) as aside,
        explained(schema, splits=[split]),
        pq.ParquetWriter(aside, arrow_schema) as writer,
    ):
        batches = read_split(config, schema, split=split, cache=loaded.directory.repaired)
        rows = _write(writer, loaded.model, batches, copied, examples=schema.split(split).examples)
    print(f"{target}: {rows:,} rows of {', '.join(arrow_schema.names)}.")
    return rows


def _write(writer: pq.ParquetWriter, model: Ranker, batches: Any, copied: list[Column], *, examples: int) -> int:
    keep = tuple(column.name for column in copied)
    rows = 0
    for kept, scores in score_batches(model, batches, keep=keep, examples=examples, what="predicting"):
        arrays = [_arrow(column, kept) for column in copied] + [pa.array(scores[name]) for name in _predicted(model)]
        writer.write_batch(pa.record_batch(arrays, schema=writer.schema))
        rows += len(arrays[-1])
    return rows


def _predicted(model: Ranker) -> dict[str, str]:
    """Output of the model -> column."""
    own = {task: "mean" if n in model.outputs.values else "probability" for n, task in enumerate(model.wiring.tasks)}
    return {name: f"{name}_{own[name]}" if name in own else name for name in model.outputs.names}


def _source(config: PredictConfig, loaded: LoadedRun) -> tuple[Schema, str]:
    if config.input is not None:
        return schema_of_files(config.input, trained=loaded.schema), FILES
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    schema.split(config.split)
    return schema, config.split


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
