"""Which row of a table becomes which, when the ids that a model knows have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema.features import IdMap
from fullrank.data.schema.schema import Schema, SchemaError

_RESERVED: Final = 2
"""The rows of a missing and of an unknown id, which come first."""


class Rows(NamedTuple):
    """Rows that have an equal meaning in two tables.

    Attributes:
      old: Their numbers in the one, `[n]`.
      new: Their numbers in the other, `[n]`, ascending.
    """

    old: np.ndarray[Any, Any]
    new: np.ndarray[Any, Any]


def kept_rows(
    old: Schema,
    new: Schema,
    *,
    table: str,
    rows: tuple[int, int],
    vocabularies: tuple[Mapping[str, np.ndarray[Any, Any]], Mapping[str, np.ndarray[Any, Any]]],
) -> Rows:
    """The rows of a table that two schemas share: those of a missing and of an unknown id, and of ids that both know.

    Args:
      old: The one schema.
      new: The other one.
      table: Name of the table in a lookup plan: of a feature, or of what a number or a code is made of.
      rows: Numbers of its rows under `old` and under `new`.
      vocabularies: The known ids under `old` and under `new`, by feature.

    Raises:
      SchemaError: If the rows of the two cannot be compared.
    """
    kinds = [{owner.name: _kind(owner.ids) for owner in schema.tables}.get(table, "fixed") for schema in (old, new)]
    if kinds[0] == kinds[1] == "vocabulary":
        before, after = (pa.array(ids[table]) for ids in vocabularies)
        if before.type != after.type:
            raise SchemaError(f"The ids of {table!r} were {before.type}, and are {after.type} now.")
        places = pc.index_in(after, value_set=before)
        known = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        found = places.drop_null().to_numpy().astype(np.int64)
        reserved = np.arange(_RESERVED)
        return Rows(np.concatenate([reserved, found + _RESERVED]), np.concatenate([reserved, known + _RESERVED]))
    if kinds[0] == kinds[1] == "identity" or (kinds[0] == kinds[1] and rows[0] == rows[1]):
        same = np.arange(min(rows))
        return Rows(same, same)
    raise SchemaError(
        f"Table {table!r} had {rows[0]:,} rows of kind {kinds[0]!r}, and has {rows[1]:,} of kind {kinds[1]!r} now: "
        "only vocabularies and identity maps may change. Write the records with the id map of the run."
    )


def _kind(ids: IdMap) -> str:
    """The kind of a map, with the number of its hash functions if there are several."""
    return ids.kind if ids.hashes == 1 else f"{ids.kind} ({ids.hashes} functions)"
