"""The flags of infer about sequences that tables hold already, and what a sample shows of their order."""

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
from fullrank.data.tables.given_sequences import check_mending, order_of_sequences


def define_sequence_flags(flag_values: flags.FlagValues) -> None:
    """Defines --newest_first, --only_earlier and --gaps."""
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_list(
        "newest_first",
        None,
        "Sequences of the tables that run from the newest to the oldest; where the sample shows it, by default.",
        **at,
    )
    flags.DEFINE_list(
        "only_earlier",
        None,
        "Sequences of the tables of which only what lies strictly before the row's own time is kept.",
        **at,
    )
    flags.DEFINE_list(
        "gaps",
        None,
        "Columns of a sequence's times that hold how long before the row's own time each lies, in its unit.",
        **at,
    )


def with_sequences(schema: Schema, flag_values: flags.FlagValues, sample: pa.Table) -> tuple[Schema, list[str]]:
    """The schema with what flags and a sample say of the order of sequences, and sentences about it.

    Raises:
      UsageError: If a flag names what there is not.
    """
    newest_first, only_earlier, gaps = (
        tuple(flag_values[name].value or ()) for name in ("newest_first", "only_earlier", "gaps")
    )
    schema = _reading(schema, newest_first=newest_first, only_earlier=only_earlier, gaps=gaps)
    try:
        check_mending(schema)
    except SchemaError as error:
        raise UsageError(f"--{error}") from error
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
        turned, notes = order_of_sequences(schema, connection, good, place_of=places.__getitem__)
    notes += [f"{name}: runs from the newest to the oldest, and is turned round." for name in turned]
    return _reading(schema, newest_first=turned), notes


def _reading(
    schema: Schema, *, newest_first: tuple[str, ...], only_earlier: tuple[str, ...] = (), gaps: tuple[str, ...] = ()
) -> Schema:
    """The schema with more names in its reading."""
    known = schema.reading or Reading()
    changed = dataclasses.replace(
        known,
        newest_first=(*known.newest_first, *newest_first),
        only_earlier=(*known.only_earlier, *only_earlier),
        gaps=(*known.gaps, *gaps),
    )
    return dataclasses.replace(schema, reading=None if changed == Reading() else changed)
