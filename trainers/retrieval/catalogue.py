"""The catalogue: what is known of each ad, read from records, and kept beside a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.data.reading.read import read_records
from fullrank.data.schema.columns import Column
from fullrank.data.schema.schema import Schema
from fullrank.models.retrieval.sides import ad_columns, item_feature
from fullrank.trainers.training.records import explained

FILE: Final = "catalogue.parquet"
Catalogue = dict[str, npt.NDArray[Any]]
"""Column of the ad side -> values of all ads, `[N]` or `[N, L]`, in the order of their ids."""
_TYPES: Final[Mapping[str, pa.DataType]] = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.binary()}


def read_catalogue(schema: Schema, *, item: str | None, splits: Sequence[str], batch_size: int = 4096) -> Catalogue:
    """Every ad of the splits, each as the last example of the first split that has it shows it.

    A later split adds the ads that no earlier one has; it does not change the others, whose columns it would know
    better than training does.

    Args:
      schema: A schema that was read from a directory.
      item: Feature that names an ad; `None` for the default.
      splits: In this order, training first.
      batch_size: Examples read at once.

    Raises:
      ValueError: If no example names an ad.
    """
    feature, columns = item_feature(schema, item), ad_columns(schema)
    missing = next(column.missing for column in columns if column.name == feature.name)
    found: dict[Any, tuple[Any, ...]] = {}
    with explained(schema, splits=splits):
        for split in splits:
            own: dict[Any, tuple[Any, ...]] = {}
            for batch in read_records(schema, split=split, batch_size=batch_size):
                arrays = [batch[column.name].numpy() for column in columns]
                ids = batch[feature.name].numpy()
                # The last row of each id in the batch.
                _, from_end = np.unique(ids[::-1], return_index=True)
                for row in (len(ids) - 1 - from_end).tolist():
                    own[ids[row]] = tuple(values[row] for values in arrays)
            found = {**own, **found}
    found.pop(missing, None)
    if not found:
        raise ValueError(
            f"No example of {', '.join(splits)} has an id of {feature.name!r}: there is nothing to retrieve."
        )
    ordered = [found[identity] for identity in sorted(found)]
    return {
        column.name: np.stack([row[place] for row in ordered]).astype(_numpy_type(column))
        for place, column in enumerate(columns)
    }


def write_catalogue(catalogue: Catalogue, file: Path, *, schema: Schema) -> None:
    """Writes a catalogue as Parquet, columns of several values as lists."""
    columns = ad_columns(schema)
    arrays = []
    for column in columns:
        values = catalogue[column.name]
        flat = pa.array(values.ravel().tolist() if column.dtype == "bytes" else values.ravel(), _TYPES[column.dtype])
        # A table has no other mark for bits that are missing.
        mask = pa.array((values == column.missing).all(axis=1)) if column.form == "fixed" else None
        arrays.append(flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask))
    pq.write_table(pa.table(dict(zip((c.name for c in columns), arrays, strict=True))), file)


def load_catalogue(file: Path, *, schema: Schema) -> Catalogue:
    """Reads what `write_catalogue` wrote.

    Raises:
      ValueError: If it is no Parquet file, or a column is missing or of another type.
    """
    table = read_table(file)
    found: Catalogue = {}
    for column in ad_columns(schema):
        if column.name not in table.column_names:
            raise ValueError(f"{file} has no column {column.name!r}. It needs every column of the ad side.")
        values = table[column.name].combine_chunks()
        try:
            found[column.name] = _loaded(values, column)
        except pa.ArrowException as error:
            raise ValueError(f"{file}: column {column.name!r} is not {column.dtype}: {error}.") from error
    return found


def read_table(file: Path) -> pa.Table:
    """Reads a Parquet file.

    Raises:
      ValueError: If it is none.
    """
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _loaded(values: Any, column: Column) -> npt.NDArray[Any]:
    if column.form == "one":
        return np.asarray(values.cast(_TYPES[column.dtype]).to_pylist(), _numpy_type(column))
    return filled(values.cast(pa.list_(_TYPES[column.dtype])).to_pylist(), column)


def filled(rows: Sequence[Sequence[Any] | None], column: Column) -> npt.NDArray[Any]:
    """Lists as a column, `[N, L]`: longer ones keep their last L values, shorter ones end in missing ones."""
    values = np.full((len(rows), column.length), column.missing, _numpy_type(column))
    for row, items in enumerate(rows):
        kept = (items or [])[-column.length :]
        values[row, : len(kept)] = kept
    return values


def _numpy_type(column: Column) -> Any:
    return object if column.dtype == "bytes" else column.dtype
