"""Counts earlier exposures of staged rows in parts, user by user, since they may not fit in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.exposures.history import ExposureHistory, exposure_history, similar_exposures
from fullrank.data.exposures.spec import COUNT, GAP, ExposureSpec, bits_length
from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import MISSING_INT
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.columns import BAD
from fullrank.data.tables.staged_rows import ROWS, StagedRows

USER: Final = "exposed_user"
AD: Final = "exposed_ad"
_UNITS_PER_DAY: Final = {"s": 86_400.0, "ms": 86_400_000.0}
_PART_ROWS: Final = 2_000_000


def exposure_extras(spec: ExposureSpec) -> dict[str, str]:
    """The extras that `StagedRows` has to keep for `add_exposures`."""
    return {USER: spec.user, AD: spec.ad}


def add_exposures(rows: StagedRows, spec: ExposureSpec, *, part_rows: int = _PART_ROWS) -> str:
    """Fills in the two columns of `exposed_schema` for the rows of all splits.

    A bad row, and one without a user, an ad or a time, is not an exposure: it is not counted, and its two columns are
    missing. Users and ads are told apart as the schema reads their ids, or else as text.

    Args:
      rows: All rows, with `exposure_extras`.
      spec: Columns and settings of the count.
      part_rows: About how many rows are counted at a time; it changes no result.

    Returns:
      One line with the share of repeated exposures.
    """
    schema, total = rows.schema, rows.total
    bits = "" if spec.bits is None else f", {rows.stored_as(spec.bits)} AS bits"
    user, ad, time = rows.known_by(USER), rows.known_by(AD), rows.stored_as(str(schema.time))
    parts = max(1, -(-total // part_rows))
    values = np.full((total, 2), np.nan, np.float32)
    repeated = 0
    for part in range(parts):
        found = rows.connection.sql(
            f"SELECT rowid AS place, hash({user}) AS user, hash({ad}) AS ad, {time} AS time{bits} FROM {ROWS} "
            f"WHERE {BAD} IS NULL AND {user} IS NOT NULL AND {ad} IS NOT NULL AND {time} IS NOT NULL "
            f"AND hash({user}) % {parts} = {part}"
        ).to_arrow_table()
        history = _history(found, spec, schema)
        places = found["place"].to_numpy()
        values[places, 0] = history.decayed_count
        values[places, 1] = history.gap_days
        repeated += int((history.earlier_count > 0).sum())
    columns = {COUNT: values[:, 0], GAP: values[:, 1]}
    table = pa.table({name: pa.array(np.array(column), from_pandas=True) for name, column in columns.items()})
    rows.put_beside("exposed", table, instead={name: name for name in columns})
    similar = f" or one within {spec.radius} bits of its {spec.bits!r}" if spec.bits else ""
    return (
        f"Exposures: {repeated / max(total, 1):.2%} of {total:,} rows show {spec.user!r} an {spec.ad!r}{similar} again."
    )


def check_exposable(names: Collection[str], spec: ExposureSpec, schema: Schema, *, source: str) -> None:
    """Rejects a table that lacks a column that exposures are counted from, or already has one of the two new columns.

    Raises:
      ValueError: Always; the message names the column.
    """
    for name in (*spec.columns, str(schema.time)):
        if name not in names:
            near = closest(name, names)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(list(names)[:30])}."
            raise ValueError(f"{source} has no column {name!r}, which --exposures needs; {hint}")
    twice = [name for name in (COUNT, GAP) if name in names]
    if twice:
        raise ValueError(f"{source} has column {twice[0]!r}, which --exposures would add: rename it, or do without.")


def _history(found: pa.Table, spec: ExposureSpec, schema: Schema) -> ExposureHistory:
    given: dict[str, Any] = {
        "users": found["user"].to_numpy(),
        "ads": found["ad"].to_numpy(),
        "times": found["time"].to_numpy(),
        "tau_days": spec.tau_days,
        "units_per_day": _UNITS_PER_DAY[schema.time_unit],
    }
    if spec.bits is None:
        return exposure_history(**given)
    length = bits_length(schema, spec) or 0
    return similar_exposures(**given, bits=_bits(found["bits"], length), radius=spec.radius)


def _bits(column: pa.ChunkedArray, length: int) -> npt.NDArray[np.int8]:
    """`[n, length]`, -1 throughout where there are none."""
    bits = np.full((len(column), length), MISSING_INT, np.int8)
    cells = column.combine_chunks()
    present = cells.is_valid().to_numpy(zero_copy_only=False)
    bits[present] = cells.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, length)
    return bits
