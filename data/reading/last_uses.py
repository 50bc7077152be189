"""When each id of a table was last used: the time of the latest example that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.data.schema.columns import MISSING_INT
from fullrank.data.schema.id_maps import columns_of_ids
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.table_rows import TableRows

NEVER: Final = int(np.iinfo(np.int64).min)
UNDATED: Final = int(np.iinfo(np.int64).max)


class LastUses(NamedTuple):
    """The last uses of the ids of some tables.

    Attributes:
      times: Table -> `[rows]`, int64, in the schema's `time_unit`: the time of the latest example that names the id of
        this row, `NEVER` if none does, `UNDATED` if one does whose time is missing.
      latest: The time of the latest example.
      undated: How many examples have no time.
    """

    times: dict[str, npt.NDArray[np.int64]]
    latest: int
    undated: int


def last_uses(schema: Schema, *, tables: Sequence[str], batches: Iterable[Mapping[str, Any]]) -> LastUses:
    """Looks through examples for the last use of each id, in the columns of its feature and in histories.

    A history is used at the time of its example, not at the times of its behaviours: what is asked is until when a
    model needed the row.

    Args:
      schema: The schema whose vocabularies number the rows; it was read from a directory.
      tables: Names of owners of tables that have a vocabulary.
      batches: Name -> values (arrays or tensors) of each column that reads one of the tables, and of the event time.

    Raises:
      SchemaError: If the schema names no event time, no example has one, or a vocabulary cannot be read.
    """
    if schema.time is None:
        raise SchemaError(f"Schema {schema.name!r} names no event time, so that no id has an age.")
    rows_of = {name: TableRows(schema, name) for name in tables}
    times = {name: np.full(rows.number, NEVER, np.int64) for name, rows in rows_of.items()}
    latest, undated = NEVER, 0
    for batch in batches:
        when = np.asarray(batch[schema.time])
        missing = when == MISSING_INT
        latest, undated = max(latest, int(np.max(when, initial=NEVER, where=~missing))), undated + int(missing.sum())
        when = np.where(missing, UNDATED, when)
        for name, rows in rows_of.items():
            for column in columns_of_ids(schema, name):
                ids = np.asarray(batch[column])
                each = when if ids.ndim == 1 else np.broadcast_to(when[:, None], ids.shape)
                np.maximum.at(times[name], rows(ids).ravel(), each.ravel())
    if latest == NEVER:
        raise SchemaError(f"Column {schema.time!r} is missing in every example, so that no id has an age.")
    return LastUses(times, latest, undated)
