"""Features as whole numbers, one per example, that can be counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.analysis.information.constraints import Constraint, lengths
from fullrank.data.schema.features import Numeric, Sequence, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.table_rows import TableRows

Arrays = Mapping[str, npt.NDArray[Any]]
Codes = npt.NDArray[np.int64]
MOST_CODES: Final = 2**20
"""Codes of one feature; rows of a larger table share them by their remainder, which can only lose information."""
_SETS: Final = 2**16


class Coded(NamedTuple):
    """The codes of one X.

    Attributes:
      name: Its name: a feature, the latest value of a behaviour's column, or a constraint.
      feature: The feature that it belongs to; empty for a constraint.
      columns: The columns that it reads.
      size: Number of codes.
      codes: Batch -> `[B]`, from 0 to `size - 1`.
      kind: Description of X.
    """

    name: str
    feature: str
    columns: tuple[str, ...]
    size: int
    codes: Callable[[Arrays], Codes]
    kind: str


def coded_features(schema: Schema, *, buckets: int) -> tuple[list[Coded], dict[str, str]]:
    """The features that can be counted.

    An id is its row in the table; a set of ids the set of rows; a number its quantile bucket; a sequence gives several
    X: the most recent value of each of its columns, and how many behaviours there are. A missing value is a value.

    Args:
      schema: A schema that was read from a directory.
      buckets: Quantile buckets of a number, at most.

    Returns:
      Their codes, and the features that were left out, with the reason.
    """
    found: list[Coded] = []
    left_out: dict[str, str] = {}
    for feature in schema.features:
        if isinstance(feature, Sparse):
            found.append(_ids(schema, feature))
        elif isinstance(feature, Numeric):
            if feature.statistics is None or not feature.statistics.quantiles:
                left_out[feature.name] = "the schema has no quantiles of it"
            else:
                found.append(_number(feature, feature.statistics.quantiles, buckets))
        elif isinstance(feature, Sequence):
            found += _behaviours(schema, feature)
        else:
            left_out[feature.name] = "a vector has no countable values"
    return found, left_out


def coded_constraint(constraint: Constraint) -> Coded:
    """A constraint as an X of two values."""
    return Coded(
        name=constraint.text,
        feature="",
        columns=constraint.columns,
        size=2,
        codes=lambda batch: constraint.holds(batch).astype(np.int64),
        kind="constraint",
    )


def _ids(schema: Schema, feature: Sparse) -> Coded:
    rows = TableRows(schema, feature.name)
    size = min(rows.number, MOST_CODES) if feature.max_values == 1 else _SETS

    def codes(batch: Arrays) -> Codes:
        found = rows(batch[feature.name])
        if feature.max_values == 1:
            return found % size
        return _set_codes(found)

    kind = "set of ids" if feature.max_values > 1 else "id"
    shared = kind == "id" and rows.number > MOST_CODES
    return Coded(
        name=feature.name,
        feature=feature.name,
        columns=(feature.name,),
        size=size,
        codes=codes,
        kind=f"{kind}, {rows.number:,} rows share {size:,} codes" if shared else kind,
    )


def _set_codes(rows: Codes) -> Codes:
    """A code for each set of rows, `[B, n]` -> `[B]`, whatever their order; 0 if all are missing."""
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    total: Codes = ((mixed ^ (mixed >> np.uint64(32))).sum(axis=1) >> np.uint64(40)).astype(np.int64)
    return np.where((rows == 0).all(axis=1), 0, 1 + total % (_SETS - 1))


def _number(feature: Numeric, quantiles: tuple[float, ...], buckets: int) -> Coded:
    # If many numbers are equal, several quantiles are one edge; that number then has its own bucket.
    inner = np.quantile(np.asarray(quantiles, np.float64), np.linspace(0, 1, buckets + 1)[1:-1])
    edges = np.unique(inner.astype(np.float32))
    repeated = (
        np.unique(np.nextafter(edges, np.float32(np.inf), dtype=np.float32)) if len(edges) < len(inner) else edges
    )
    edges = np.unique(np.concatenate([edges, repeated]))

    def codes(batch: Arrays) -> Codes:
        values = batch[feature.name]
        found = 1 + np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), 0, found).astype(np.int64)

    return Coded(
        name=feature.name,
        feature=feature.name,
        columns=(feature.name,),
        size=len(edges) + 2,
        codes=codes,
        kind=f"number in {len(edges) + 1} buckets",
    )


def _behaviours(schema: Schema, feature: Sequence) -> list[Coded]:
    found = []
    tables = {owner.name for owner in schema.tables}
    for column in feature.behaviour:
        table = column.table or column.name
        if table not in tables:
            continue  # HashIDs, which are not ids of their own
        rows = TableRows(schema, table)
        found.append(
            Coded(
                name=f"{column.name}[1]",
                feature=feature.name,
                columns=(column.name,),
                size=min(rows.number, MOST_CODES),
                codes=_latest(column.name, rows),
                kind="most recent behaviour",
            )
        )
    first = feature.names[0]
    found.append(
        Coded(
            name=f"{feature.name} length",
            feature=feature.name,
            columns=(first,),
            size=feature.max_length + 1,
            codes=lambda batch: lengths(batch[first]),
            kind="number of behaviours",
        )
    )
    return found


def _latest(column: str, rows: TableRows) -> Callable[[Arrays], Codes]:
    def codes(batch: Arrays) -> Codes:
        values = batch[column]
        number = lengths(values)
        latest = values[np.arange(len(values)), np.maximum(number - 1, 0)]
        return np.where(number > 0, rows(latest), 0) % MOST_CODES

    return codes
