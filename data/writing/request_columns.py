"""Brings rows into the form of a block with requests: columns that the rows of a request share have one row for all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.records.encode_block import Sizes
from fullrank.data.schema.ragged import Columns, Ragged, taken


class Requests(NamedTuple):
    """Rows as requests.

    Attributes:
      columns: The shared columns with one row per request, the others as they were.
      sizes: Rows of each request, `[R]`.
      differing: Shared columns that differ between rows of a request, which is then stored as several.
      more: By how many requests there are more for that reason.
    """

    columns: Columns
    sizes: Sizes
    differing: frozenset[str]
    more: int


def by_request(columns: Columns, *, request: npt.NDArray[np.int64], shared: Collection[str]) -> Requests:
    """Finds the requests among rows; nothing is lost: where a shared column differs from the row before, one begins.

    Args:
      columns: A column batch of n >= 1 rows; bytes may be Arrow arrays.
      request: The request of each row, `[n]`; rows of a request follow each other.
      shared: Names of the columns that rows of a request should have in common.
    """
    begins = np.append(True, request[1:] != request[:-1])
    within = ~begins
    differing, divides = set(), np.zeros(len(begins), bool)
    for name in shared:
        differs = np.append(False, _differs(columns[name])) & within
        divides |= differs
        if differs.any():
            differing.add(name)
    starts = np.flatnonzero(begins | divides)
    sizes = np.diff(np.append(starts, len(begins))).astype(np.int32)
    found = {name: taken(each, starts) if name in shared else each for name, each in columns.items()}
    return Requests(found, sizes, frozenset(differing), int(divides.sum()))


def _differs(column: Any) -> npt.NDArray[np.bool_]:
    """Whether each row but the first differs from the one before it, `[n - 1]`."""
    if isinstance(column, Ragged):
        return _lists_differ(column)
    unequal = _unequal(column[1:], column[:-1])
    return unequal if unequal.ndim == 1 else np.asarray(unequal.any(axis=1))


def _lists_differ(column: Ragged) -> npt.NDArray[np.bool_]:
    lengths = column.lengths.astype(np.int64)
    differs: npt.NDArray[np.bool_] = lengths[1:] != lengths[:-1]
    # A value of a row as long as the one before has its counterpart as many values before.
    same = np.append(False, ~differs)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    places = np.flatnonzero(same[owner])
    if not places.size:
        return differs
    before = places - lengths[owner[places]]
    unequal = _unequal(taken(column.values, places), taken(column.values, before))
    wrong = np.bincount(owner[places][unequal], minlength=len(lengths))[1:] > 0
    return differs | wrong


def _unequal(values: Any, others: Any) -> npt.NDArray[np.bool_]:
    """Whether values differ from others, place by place."""
    if isinstance(values, pa.Array):
        return np.asarray(pc.not_equal(values, others))
    if values.dtype == np.float32:
        # A missing number is NaN, which is equal to itself here.
        values, others = values.view(np.int32), others.view(np.int32)
    return np.asarray(values != others, bool)
