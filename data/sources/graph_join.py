"""Adds the vectors that `fullrank pretrain-graph` learned to a data set, without the clicks behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fullrank.data.schema.features import Vector
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.source import Batches, Source
from fullrank.data.tables.naming_errors import naming_errors

UNTIL: Final = b"fullrank.until"
"""Metadata key of a file of vectors: the time of the newest click that they were learned from, in milliseconds."""
_TRAIN: Final = "train"


def join_graph(source: Source, *, directory: Path) -> Source:
    """The data set with `user_graph_vector` and `item_graph_vector`, declared as a pair to compare ([Tencent] §3.3).

    Similarities are too high on clicks that are in the graph, so training rows up to its time are left out. A user or
    an item that the graph does not know has a missing vector.

    Args:
      source: A data set with the id columns of the graph.
      directory: Output of `fullrank pretrain-graph`.

    Raises:
      ValueError: If a file is missing, damaged or does not belong to this data set.
    """
    files = {"user": directory / "users.parquet", "item": directory / "items.parquet"}
    tables = {side: _read(file) for side, file in files.items()}
    known = [column.name for column in source.schema.columns]
    joins = {f"{side}_graph_vector": table for side, table in tables.items()}
    for name, (side, table) in zip(joins, tables.items(), strict=True):
        key = table.column_names[0]
        if key not in known:
            raise ValueError(
                f"--dataset={source.schema.name} has no column {key!r}, which is the key of {files[side]}."
            )
        if name in known:
            raise ValueError(f"--dataset={source.schema.name} has a column {name!r} already.")
    until = _until(tables["user"], source.schema, directory=directory)
    splits: Mapping[str, Batches] = {
        name: _Joined(batches, joins, source.schema.time, until if name == _TRAIN else None)
        for name, batches in source.splits.items()
    }
    vectors = (
        Vector(name="user_graph_vector", side="user", length=_length(tables["user"]), pair="item_graph_vector"),
        Vector(name="item_graph_vector", side="ad", length=_length(tables["item"])),
    )
    schema = dataclasses.replace(source.schema, features=(*source.schema.features, *vectors))
    return dataclasses.replace(source, schema=schema, splits=splits)


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Opens a split with the vectors, without the rows up to a given time."""

    batches: Batches
    joins: Mapping[str, pa.Table]
    time: str | None
    until: int | None

    def __call__(self) -> Iterable[pa.RecordBatch]:
        for batch in self.batches():
            if self.time is not None and self.until is not None:
                batch = batch.filter(pc.greater(batch.column(self.time), self.until))
            for name, table in self.joins.items():
                key = table.column_names[0]
                known = table[key].combine_chunks()
                places = pc.index_in(pc.cast(batch.column(key), known.type), value_set=known)
                batch = batch.append_column(name, table["vector"].take(places).combine_chunks())
            if batch.num_rows:
                yield batch


def _read(file: Path) -> pa.Table:
    if not file.is_file():
        raise ValueError(f"--graph={file.parent} holds no {file.name}: give an output of fullrank pretrain-graph.")
    with naming_errors(file):
        table = pq.read_table(file)
    if table.column_names[1:] != ["vector"] or not table.num_rows:
        raise ValueError(f"{file} does not hold ids and vectors, but {', '.join(table.column_names) or 'nothing'}.")
    return table


def _until(table: pa.Table, schema: Schema, *, directory: Path) -> int | None:
    """The newest time in the graph, in the data set's unit; `None` if the graph knows all training clicks."""
    text = (table.schema.metadata or {}).get(UNTIL)
    if text is None:
        return None
    if schema.time is None:
        raise ValueError(f"{directory} knows the clicks up to a time, but data set {schema.name!r} has no time.")
    return int(text) // (1 if schema.time_unit == "ms" else 1_000)


def _length(table: pa.Table) -> int:
    return int(pc.max(pc.list_value_length(table["vector"])).as_py())
