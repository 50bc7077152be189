"""The row of a table that a raw id has, outside of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.data.schema import Schema, SchemaError
from fullrank.data.vocabulary import read_vocabulary

KNOWN_FROM = 2
"""Row 0 stands for a missing id, row 1 for one outside the map."""


def table_rows(ids: npt.NDArray[Any], *, schema: Schema, feature: str) -> npt.NDArray[np.int64]:
    """Rows of the table of a sparse feature; 1 for ids that have none of their own, missing ones included.

    Args:
      ids: `[N]`, int64 or bytes, as records hold them.
      schema: A schema that was read from a directory.
      feature: Name of a sparse feature of one id.

    Raises:
      SchemaError: If ids are hashed to rows, so that a row is not one id's.
    """
    sparse = schema.sparse(feature)
    owner = schema.sparse(sparse.table) if sparse.table is not None else sparse
    if owner.ids.kind == "hash":
        raise SchemaError(f"Feature {feature!r} hashes its ids to rows: a row belongs to no single id.")
    if owner.ids.kind == "identity":
        known = (ids >= 0) & (ids < owner.ids.size)
        return np.where(known, ids + KNOWN_FROM, 1).astype(np.int64)
    vocabulary = read_vocabulary(schema=schema, feature=feature)
    order = np.argsort(vocabulary, kind="stable")
    places = np.minimum(np.searchsorted(vocabulary, ids, sorter=order), len(order) - 1)
    found = vocabulary[order[places]] == ids
    return np.where(found, order[places] + KNOWN_FROM, 1).astype(np.int64)
