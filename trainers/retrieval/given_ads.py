"""Ads of a table that the user gives, whose cells are read as `fullrank convert` reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa

from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.reading import Derived, Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.derived_columns import columns_in
from fullrank.data.tables.row_columns import convert_rows
from fullrank.models.retrieval.sides import ad_columns
from fullrank.trainers.retrieval.catalogue import Catalogue, filled, read_table

_ROWS = 2**18


def read_ads(file: Path, *, schema: Schema) -> Catalogue:
    """Reads the ads of a Parquet file.

    A column that the schema computes is computed if its inputs are there, and otherwise read as it is.

    Raises:
      ValueError: If it is no Parquet file, holds no ad, lacks a column of the ad side, or a row cannot be converted.
    """
    table = read_table(file)
    if not table.num_rows:
        raise ValueError(f"{file} holds no ad: give a file with a row for each ad.")
    columns = ad_columns(schema)
    names = {column.name for column in columns}
    reading = _computing(schema.reading or Reading(), given=table.column_names)
    computed = {column.name for column in reading.columns}
    inputs = {each.name for column in reading.columns for each in column.inputs}
    read = [name for name in table.column_names if name in (names - computed) | inputs]
    optional = {column.name for column in schema.columns} - names
    parts: list[Catalogue] = []
    first = 1
    for batch in table.select(read).to_batches(max_chunksize=_ROWS):
        try:
            found = convert_rows(batch, dataclasses.replace(schema, reading=reading), optional=optional)
        except (ValueError, pa.ArrowException) as error:
            raise ValueError(f"{file}: {error}") from error
        if found.bad:
            raise ValueError(f"{file}: row {first + found.bad[0].row}: {found.bad[0].message}")
        part: Catalogue = {}
        for column in columns:
            values = found.columns[column.name]
            part[column.name] = filled(values.to_lists(), column) if isinstance(values, Ragged) else values
        parts.append(part)
        first += batch.num_rows
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _computing(reading: Reading, *, given: Collection[str]) -> Reading:
    """What is read, with the computed columns alone whose inputs are given."""
    kept: list[Derived] = []
    for column in reading.columns:
        inputs = {each.name for each in column.inputs}.intersection(given) | {each.name for each in kept}
        if inputs.issuperset(columns_in(column.expression, name=column.name)):
            kept.append(column)
    return dataclasses.replace(reading, columns=tuple(kept))
