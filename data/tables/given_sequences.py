"""Sequences that tables hold already: turned round, cut at the row's own time, made of gaps, and looked at."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from fullrank.data.files.printable import closest
from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema, SchemaError

_MOST = 0.95
"""Share of the rows with different times from which on a sequence is said to have an order."""


def check_mending(schema: Schema) -> None:
    """Refuses what the reading says of sequences that the schema does not have.

    Raises:
      SchemaError: Naming what there is not.
    """
    reading = schema.reading or Reading()
    given = [f for f in schema.features if isinstance(f, Sequence) and not {c for c, _ in f.ids} & set(schema.filled)]
    timed = [f for f in given if f.times is not None and schema.time is not None]
    for what, names, known in (
        ("newest_first", reading.newest_first, [f.name for f in given]),
        ("only_earlier", reading.only_earlier, [f.name for f in timed]),
        ("gaps", reading.gaps, [str(f.times) for f in timed]),
    ):
        for name in names:
            if name not in known:
                near = closest(name, known)
                hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(known) or 'none'}."
                kind = "column of the times of a sequence" if what == "gaps" else "sequence of the tables"
                timely = "" if what == "newest_first" else ", in a schema with an event time"
                raise SchemaError(f"{what} names {name!r}, which is no {kind}{timely}. {hint}")


def mended(column: Column, schema: Schema, value_of: Callable[[str], str]) -> str:
    """A list as records hold it: absolute times, oldest first, strictly before the row, as far as the reading asks.

    Args:
      column: Column of lists.
      schema: It is part of.
      value_of: Name of a column -> the DuckDB expression of its value in the table.
    """
    value, reading = value_of(column.name), schema.reading
    owner = next(
        (f for f in schema.features if isinstance(f, Sequence) and column.name in (f.times, *(c for c, _ in f.ids))),
        None,
    )
    if owner is None or reading is None:
        return value
    if owner.times is not None and schema.time is not None:
        event, times = value_of(schema.time), value_of(owner.times)
        if owner.times in reading.gaps:
            times = f"list_transform({times}, lambda g: {event} - g)"
            value = times if column.name == owner.times else value
        if owner.name in reading.only_earlier:
            earlier = f"list_filter(list_zip({value}, {times}), lambda z: coalesce(z[2] < {event}, TRUE))"
            value = f"list_transform({earlier}, lambda z: z[1])"
    return f"list_reverse({value})" if owner.name in reading.newest_first else value


def order_of_sequences(
    schema: Schema, connection: duckdb.DuckDBPyConnection, rows: str, *, place_of: Callable[[str], str]
) -> tuple[tuple[str, ...], list[str]]:
    """The sequences that run from the newest to the oldest, and sentences about what else is wrong with others.

    Args:
      schema: Says which sequences there are; those of earlier rows are right by themselves.
      connection: Where the rows are.
      rows: What stands behind FROM.
      place_of: Name of a column -> the expression of its value there.
    """
    turned, notes = [], []
    for sequence in schema.features:
        if isinstance(sequence, Sequence) and sequence.times not in (None, *schema.filled) and schema.time is not None:
            times, event = place_of(str(sequence.times)), place_of(schema.time)
            varied = f"list_min({times}) < list_max({times})"
            counts = [f"len({times}) > 0", varied, f"list_max({times}) >= {event}"]
            counts += [f"{varied} AND {times} = {sort}({times})" for sort in ("list_reverse_sort", "list_sort")]
            cells = ", ".join(f"count(*) FILTER ({each})" for each in counts)
            some, several, late, newest, oldest = connection.execute(f"SELECT {cells} FROM {rows}").fetchall()[0]
            if several and newest >= _MOST * several:
                turned.append(sequence.name)
            elif oldest < _MOST * several:
                notes.append(
                    f"{sequence.name}: on {1 - oldest / several:.1%} of the rows its times do not run from the oldest "
                    "to the newest, so that its last values are not the latest ones."
                )
            if late:
                notes.append(
                    f"{sequence.name}: on {late / some:.1%} of the rows it holds times at or after the row's own, "
                    f"which are not known before: infer --only_earlier={sequence.name} has them left out."
                )
    return tuple(turned), notes
