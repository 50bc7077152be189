"""Events: rows of a data set with an id, a kind and a time; conversions name the click that they belong to.

An event file holds blocks of rows (see `records.encode_block`) with the columns of a schema and four more. Only clicks
have features. An impression moves the clock and is counted; a conversion names its click. Ids are whole numbers.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.data.records.packing import Packing
from fullrank.data.schema.columns import Column
from fullrank.data.schema.ragged import Ragged
from fullrank.data.schema.schema import Schema, SchemaError

ID: Final = "event_id"
KIND: Final = "event_kind"
TIME: Final = "event_time"
CLICK: Final = "event_click"
EVENT_COLUMNS: Final = tuple(Column(name=name, dtype="int64") for name in (ID, KIND, TIME, CLICK))
IMPRESSION: Final = 0
CLICKED: Final = 1
CONVERTED: Final = 2
UNIT: Final[dict[str, float]] = {"s": 1.0, "ms": 1000.0}
Batch = dict[str, npt.NDArray[Any]]
"""Column -> `[n]` or `[n, length]`, padded as a reader of records pads."""


class Events(NamedTuple):
    """Rows of a stream, in its order.

    Attributes:
      ids: `[n]` int64.
      kinds: `[n]` int64: `IMPRESSION`, `CLICKED` or `CONVERTED`.
      times: `[n]` float64, seconds.
      clicks: `[n]` int64, for a conversion the id of its click.
      columns: Every column of the schema; missing values in all rows but clicks.
    """

    ids: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    clicks: npt.NDArray[np.int64]
    columns: Batch

    def take(self, rows: Any) -> Events:
        """The given rows: positions, a mask or a slice."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Events(self.ids[rows], self.kinds[rows], self.times[rows], self.clicks[rows], columns)


def event_packing(schema: Schema) -> Packing:
    """The packing of events in a block.

    Raises:
      SchemaError: If a column of the schema has the name of an event column.
    """
    own = [column.name for column in schema.columns]
    clash = [column.name for column in EVENT_COLUMNS if column.name in own]
    if clash:
        raise SchemaError(f"Schema {schema.name!r} has columns {', '.join(clash)}, which are reserved for events.")
    return Packing((*schema.columns, *EVENT_COLUMNS))


def as_batch(columns: dict[str, npt.NDArray[Any] | Ragged], *, schema: Schema) -> Batch:
    """The columns of a schema, `many` columns padded to their length with the missing value."""
    return {column.name: _dense(columns[column.name], column) for column in schema.columns}


def missing_rows(schema: Schema, rows: int) -> dict[str, npt.NDArray[Any] | Ragged]:
    """Columns of `rows` rows without any value, in the form in which rows are written."""
    return {column.name: _missing(column, rows) for column in schema.columns}


def _missing(column: Column, rows: int) -> npt.NDArray[Any] | Ragged:
    if column.form == "many":
        return Ragged(np.empty(0, column.numpy_dtype), np.zeros(rows, np.int32))
    shape = rows if column.form == "one" else (rows, column.length)
    value = column.missing if column.pad is None else _NONE[column.dtype]
    return np.full(shape, value, column.numpy_dtype)


_NONE: Final[dict[Literal["int64", "float32", "bytes"], Any]] = {"int64": -1, "float32": np.nan, "bytes": b""}


def _dense(values: npt.NDArray[Any] | Ragged, column: Column) -> npt.NDArray[Any]:
    if not isinstance(values, Ragged):
        return values
    values = values.last(column.length)
    dense = np.full((values.rows, column.length), column.missing, column.numpy_dtype)
    dense[np.arange(column.length) < values.lengths[:, np.newaxis]] = values.values
    return dense
