"""Rows of the table of a sparse feature, outside a model."""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.files.printable import text_of
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import KNOWN_FROM, read_vocabulary

_MISSING, _UNKNOWN = 0, 1
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


class TableRows:
    """Finds rows batch by batch: 0 for a missing id, 1 for one outside the map, then the known ones.

    Hashed ids get the buckets of another hash function than the model's: as many, and as even, but not the same ones.

    Args:
      schema: A schema that was read from a directory.
      feature: Name of a sparse feature, or of a column of behaviours with a table of its own.

    Raises:
      SchemaError: If the vocabulary cannot be read.
    """

    def __init__(self, schema: Schema, feature: str) -> None:
        self._owner = schema.table(feature)
        self._vocabulary: npt.NDArray[Any] = np.empty(0, np.int64)
        self._places: dict[Any, int] = {}
        self._order = np.empty(0, np.int64)
        if self._owner.ids.kind == "vocabulary":
            self._vocabulary = read_vocabulary(schema=schema, feature=feature)
            if self._owner.dtype == "bytes":
                self._places = {identity: row for row, identity in enumerate(self._vocabulary, KNOWN_FROM)}
                self._places[MISSING_BYTES] = _MISSING
            else:
                self._order = np.argsort(self._vocabulary, kind="stable")

    @property
    def number(self) -> int:
        """How many rows there are."""
        return self._owner.ids.rows

    def __call__(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Rows of ids of any shape, int64 or bytes, as records hold them."""
        kind, size = self._owner.ids.kind, self._owner.ids.size
        if self._owner.dtype == "bytes":
            if kind == "vocabulary":
                rows = [self._places.get(identity, _UNKNOWN) for identity in ids.ravel().tolist()]
            else:
                rows = [zlib.crc32(each) % size + KNOWN_FROM if each else _MISSING for each in ids.ravel().tolist()]
            return np.array(rows, np.int64).reshape(ids.shape)
        if kind == "identity":
            found = np.where((ids >= 0) & (ids < size), ids + KNOWN_FROM, _UNKNOWN)
        elif kind == "hash":
            mixed = (ids.astype(np.uint64) * _MIX) >> np.uint64(32)
            found = (mixed % np.uint64(size)).astype(np.int64) + KNOWN_FROM
        elif not len(self._vocabulary):
            found = np.full(ids.shape, _UNKNOWN)
        else:
            places = np.minimum(np.searchsorted(self._vocabulary, ids, sorter=self._order), len(self._order) - 1)
            known = self._vocabulary[self._order[places]] == ids
            found = np.where(known, self._order[places] + KNOWN_FROM, _UNKNOWN)
        return np.where(ids == MISSING_INT, _MISSING, found).astype(np.int64)

    def name(self, row: int) -> str:
        """The id or bucket of a row, as text."""
        if row < KNOWN_FROM:
            return ("(missing)", "(unknown)")[row]
        place = row - KNOWN_FROM
        if self._owner.ids.kind == "vocabulary":
            value = self._vocabulary[place]
            return text_of(value)
        return f"bucket {place}" if self._owner.ids.kind == "hash" else str(place)


def table_rows(ids: npt.NDArray[Any], *, schema: Schema, feature: str) -> npt.NDArray[np.int64]:
    """Rows of the table of a sparse feature; 1 for ids without a row of their own, including missing ones.

    Args:
      ids: `[N]`, int64 or bytes, as records hold them.
      schema: A schema that was read from a directory.
      feature: Name of a sparse feature of one id.

    Raises:
      SchemaError: If ids are hashed to rows, so a row does not belong to one id.
    """
    sparse = schema.sparse(feature)
    if (schema.sparse(sparse.table) if sparse.table is not None else sparse).ids.kind == "hash":
        raise SchemaError(f"Feature {feature!r} hashes its ids to rows: a row may belong to several ids.")
    return np.maximum(TableRows(schema, feature)(ids), _UNKNOWN)
