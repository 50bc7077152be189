"""The flags of infer about sequences that tables already hold, and what a sample shows about their order."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
from absl import flags

from fullrank.data.command.errors import UsageError
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.tables.canonical import identifier
from fullrank.data.tables.columns import BAD, TableColumn, stored
from fullrank.data.tables.database import in_memory
from fullrank.data.tables.derived_columns import converted
from fullrank.data.tables.given_sequences import SequenceOrder, check_mending, order_of_sequences


def define_sequence_flags(flag_values: flags.FlagValues) -> None:
    """Defines --newest_first, --gaps and the flags of `define_mending_flags`."""
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_list(
        "newest_first",
        None,
        "Sequences of the tables that run from the newest to the oldest. Default: those for which the sample shows it.",
        **at,
    )
    define_mending_flags(flag_values, default=" Default: those for which the sample shows the need.")
    flags.DEFINE_list(
        "gaps",
        None,
        "Time columns of sequences that hold how long before the row's own time each behaviour was, in its unit.",
        **at,
    )


def define_mending_flags(flag_values: flags.FlagValues, *, default: str = "") -> None:
    """Defines --sort_by_time and --only_earlier."""
    flags.DEFINE_list(
        "sort_by_time",
        None,
        f"Sequences of the tables to sort by time, oldest first.{default}",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "only_earlier",
        None,
        f"Sequences of the tables of which to keep only behaviours strictly before the row's own time.{default}",
        flag_values=flag_values,
    )


def with_mending(schema: Schema, flag_values: flags.FlagValues) -> Schema:
    """The schema whose sequences are sorted and cut as --sort_by_time and --only_earlier ask.

    Raises:
      UsageError: If a flag names something that does not exist.
    """
    asked = {name: tuple(flag_values[name].value or ()) for name in ("sort_by_time", "only_earlier")}
    return _checked(_reading(schema, **asked)) if any(asked.values()) else schema


def with_sequences(schema: Schema, flag_values: flags.FlagValues, sample: pa.Table) -> tuple[Schema, list[str]]:
    """The schema with what flags and a sample say about the order of sequences, and sentences about it.

    Raises:
      UsageError: If a flag names something that does not exist.
    """
    names = ("newest_first", "sort_by_time", "only_earlier", "gaps")
    schema = _checked(_reading(schema, **{name: tuple(flag_values[name].value or ()) for name in names}))
    if not any(isinstance(f, Sequence) and f.times not in (None, *schema.filled) for f in schema.features):
        return schema, []
    with in_memory() as connection:
        connection.register("given", sample)
        rows = connection.sql("FROM given")
        kinds = zip(sample.column_names, rows.columns, rows.types, strict=True)
        table = {name: TableColumn(identifier(written), kind) for name, written, kind in kinds}
        query, source = converted(connection, "given", table, schema, optional=schema.filled)
        good = f"(SELECT * FROM ({query.query(source)}) WHERE {BAD} IS NULL)"
        places = {column.name: stored(number) for number, column in enumerate(schema.columns)}
        orders = order_of_sequences(schema, connection, good, place_of=places.__getitem__)
    notes = [note for order in orders for note in _notes(order)]
    return _reading(
        schema,
        newest_first=tuple(order.name for order in orders if order.newest_first),
        sort_by_time=tuple(order.name for order in orders if order.unsorted_rows and not order.newest_first),
        only_earlier=tuple(order.name for order in orders if order.late),
    ), notes


def _notes(order: SequenceOrder) -> list[str]:
    """Sentences about what is done with a sequence."""
    notes = []
    if order.newest_first:
        notes.append(f"{order.name}: runs from the newest to the oldest, and is reversed.")
    elif order.unsorted_rows:
        notes.append(
            f"{order.name}: on {order.unsorted_rows / order.rows:.1%} of the rows its times do not run from the oldest "
            "to the newest: it is sorted by time."
        )
    if order.late:
        notes.append(
            f"{order.name}: on {order.late_rows / order.rows:.1%} of the rows it holds times at or after the row's "
            f"own, which are not known before: these {order.late:,} of the sample are left out (--only_earlier)."
        )
    return notes


def _checked(schema: Schema) -> Schema:
    try:
        check_mending(schema)
    except SchemaError as error:
        raise UsageError(f"--{error}") from error
    return schema


def _reading(schema: Schema, **more: tuple[str, ...]) -> Schema:
    """The schema with more names in those fields of its reading."""
    known = schema.reading or Reading()
    added = {name: tuple(dict.fromkeys((*getattr(known, name), *names))) for name, names in more.items()}
    changed = dataclasses.replace(known, **added)  # type: ignore[arg-type]
    return dataclasses.replace(schema, reading=None if changed == Reading() else changed)
