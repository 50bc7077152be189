"""Sequences that tables already hold: reversed, sorted, cut at the row's own time, converted from gaps, and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import duckdb

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema, SchemaError

_MOST = 0.95
"""Share of the rows with different times above which a sequence is taken to run from the newest to the oldest."""
_EARLIEST = "-9223372036854775808"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceOrder:
    """The order of the times of a sequence, over the rows that have any.

    Attributes:
      name: Name of the sequence.
      rows: Rows with behaviours.
      late: Behaviours at or after the row's own time.
      late_rows: Rows with such behaviours.
      unsorted_rows: Rows whose times do not run from the oldest to the newest.
      newest_first: Whether they run from the newest to the oldest, on almost all rows with different times.
    """

    name: str
    rows: int
    late: int
    late_rows: int
    unsorted_rows: int
    newest_first: bool


def check_mending(schema: Schema) -> None:
    """Rejects a reading that names sequences that the schema does not have.

    Raises:
      SchemaError: Naming what is absent.
    """
    reading = schema.reading or Reading()
    given = [f for f in schema.features if isinstance(f, Sequence) and not set(f.names) & set(schema.filled)]
    timed = [f for f in given if f.times is not None and schema.time is not None]
    for what, names, known in (
        ("newest_first", reading.newest_first, [f.name for f in given]),
        ("only_earlier", reading.only_earlier, [f.name for f in timed]),
        ("sort_by_time", reading.sort_by_time, [f.name for f in given if f.times is not None]),
        ("gaps", reading.gaps, [str(f.times) for f in timed]),
    ):
        for name in names:
            if name not in known:
                near = closest(name, known)
                hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(known) or 'none'}."
                kind = "column of the times of a sequence" if what == "gaps" else "sequence of the tables"
                kind += " with times" if what == "sort_by_time" else ""
                timely = ", in a schema with an event time" if what in ("only_earlier", "gaps") else ""
                raise SchemaError(f"{what} names {name!r}, which is not a {kind}{timely}. {hint}")


def mended(column: Column, schema: Schema, value_of: Callable[[str], str]) -> str:
    """A list in the form of records: absolute times, oldest first, strictly before the row, if the reading asks for it.

    Args:
      column: Column of lists.
      schema: The schema that it belongs to.
      value_of: Name of a column -> the DuckDB expression of its value in the table.
    """
    value, reading = value_of(column.name), schema.reading
    owner = next(
        (f for f in schema.features if isinstance(f, Sequence) and column.name in (f.times, *f.names)),
        None,
    )
    if owner is None or reading is None:
        return value
    times = "" if owner.times is None else value_of(owner.times)
    if owner.times is not None and schema.time is not None:
        event = value_of(schema.time)
        if owner.times in reading.gaps:
            times = f"list_transform({times}, lambda g: {event} - g)"
            value = times if column.name == owner.times else value
        if owner.name in reading.only_earlier:
            earlier = f"list_filter(list_zip({value}, {times}), lambda z: coalesce(z[2] < {event}, TRUE))"
            value = f"list_transform({earlier}, lambda z: z[1])"
            times = f"list_filter({times}, lambda t: coalesce(t < {event}, TRUE))"
    if owner.times is not None and owner.name in reading.sort_by_time:
        # Behaviours without a time come first; equal times keep their order.
        keys = f"list_transform({times}, lambda t, k: {{'time': coalesce(t, {_EARLIEST}), 'place': k}})"
        return f"list_transform(list_sort({keys}), lambda z: ({value})[z.place])"
    return f"list_reverse({value})" if owner.name in reading.newest_first else value


def order_of_sequences(
    schema: Schema, connection: duckdb.DuckDBPyConnection, rows: str, *, place_of: Callable[[str], str]
) -> list[SequenceOrder]:
    """The order of the sequences that tables hold; those taken from earlier rows are always in order.

    Args:
      schema: Declares the sequences.
      connection: The database that holds the rows.
      rows: The rows, as a FROM expression.
      place_of: Name of a column -> the expression of its value there.
    """
    found = []
    for sequence in schema.features:
        if isinstance(sequence, Sequence) and sequence.times not in (None, *schema.filled) and schema.time is not None:
            times = f"list_filter({place_of(str(sequence.times))}, lambda t: t IS NOT NULL)"
            late = f"len(list_filter(times, lambda t: t >= {place_of(schema.time)}))"
            several = "list_min(times) < list_max(times)"
            newest = f"{several} AND times = list_reverse_sort(times)"
            cells = [f"count(*) FILTER ({each})" for each in ("len(times) > 0", f"{late} > 0", several, newest)]
            cells += [f"coalesce(CAST(sum({late}) AS BIGINT), 0)", "count(*) FILTER (times <> list_sort(times))"]
            query = f"SELECT {', '.join(cells)} FROM (SELECT *, {times} AS times FROM {rows})"
            some, late_rows, varied, turned, late_ones, unsorted = connection.execute(query).fetchall()[0]
            found.append(
                SequenceOrder(
                    name=sequence.name,
                    rows=some,
                    late=late_ones,
                    late_rows=late_rows,
                    unsorted_rows=unsorted,
                    newest_first=varied > 0 and turned >= _MOST * varied,
                )
            )
    return found


def check_order(orders: Iterable[SequenceOrder]) -> None:
    """Rejects behaviours that were not known at the row's own time, and times that do not ascend.

    Raises:
      ValueError: With the counts, and what to do about each sequence.
    """
    problems = []
    for order in orders:
        if order.late:
            problems.append(
                f"{order.name}: {order.late:,} behaviours, on {order.late_rows:,} of {order.rows:,} rows, are at or "
                "after the row's own time, and so not known before it: "
                f"--only_earlier={order.name} leaves them out"
            )
        if order.unsorted_rows:
            mend = f"--sort_by_time={order.name} sorts them"
            mend += f" (they run newest first: infer --newest_first={order.name})" if order.newest_first else ""
            problems.append(
                f"{order.name}: on {order.unsorted_rows:,} of {order.rows:,} rows the times do not run from the oldest "
                f"to the newest, so its last values are not the latest ones: {mend}"
            )
    if problems:
        raise ValueError(f"{'; '.join(problems)}.")
