"""A sample of the rows of tables in files, and the profiles of its columns, including computed ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.proposal.column_profile import ColumnProfile, profile_column
from fullrank.data.proposal.decisions import is_time, time_unit
from fullrank.data.schema.reading import Derived, Input, InputKind, Reading
from fullrank.data.tables.arrow_columns import is_list, is_text, plain
from fullrank.data.tables.canonical import identifier
from fullrank.data.tables.columns import TableColumn
from fullrank.data.tables.database import in_memory
from fullrank.data.tables.derived_columns import columns_in, derived
from fullrank.data.tables.files import BROKEN, Part, TableFiles
from fullrank.data.tables.join import JoinTable, names_with_joins
from fullrank.data.tables.rejected_lines import RejectedLine, read_parts

_FILES: Final = 100
"""Maximum number of files that are sampled."""
_CELLS: Final[dict[str, InputKind]] = {"whole": "integer", "real": "number"}
_LISTS: Final[dict[str, InputKind]] = {"whole": "integers", "real": "numbers"}
"""Kind of a profile -> type of such a column in an expression; anything else is text."""


def read_sample(
    connection: duckdb.DuckDBPyConnection, files: TableFiles, *, joins: Sequence[JoinTable] = (), rows: int
) -> tuple[pa.Table, list[RejectedLine]]:
    """The first rows of every file, about `rows` in all, and the lines among them that are not rows.

    If there are more than a hundred files, evenly spaced ones are sampled.

    Raises:
      ValueError: If there are no rows, or a file cannot be read.
    """
    step = -(-len(files.files) // _FILES)
    chosen = set(files.files[::step])
    each = -(-rows // len(chosen))
    names = names_with_joins(list(files.names), joins, source=str(files.files[0]))
    pieces: list[pa.Table] = []
    rejected: list[RejectedLine] = []

    def read(part: Part) -> list[pa.Table]:
        found = []
        for file in part.files:
            if file in chosen:
                single = files.part((file,))
                sql, columns = f"(SELECT * FROM {single.sql} WHERE NOT {BROKEN} LIMIT {each})", single.columns
                for number, join in enumerate(joins):
                    sql, columns = join.joined(sql, columns, alias=f"j{number}", source=str(file))
                own = [name for name in names if name in columns]
                cells = ", ".join(f"{columns[name].expression} AS c{number}" for number, name in enumerate(own))
                found.append(connection.sql(f"SELECT {cells} FROM {sql}").to_arrow_table().rename_columns(own))
        return found

    for found, lines in read_parts(connection, files, read):
        pieces += found
        rejected += lines
    sample = _united(pieces, names)
    if not sample.num_rows:
        raise ValueError(f"{files.files[0]} has no rows, so there is nothing to infer from.")
    return sample, rejected


def _united(pieces: list[pa.Table], names: list[str]) -> pa.Table:
    """Concatenated tables; a column that is text in some of them is text."""
    for name in names:
        kinds = {piece.schema.field(name).type for piece in pieces if name in piece.column_names}
        if len(kinds) > 1 and any(map(is_text, kinds)) and not any(map(is_list, kinds)):
            pieces = [
                piece.set_column(piece.column_names.index(name), name, pc.cast(piece[name], pa.string()))
                if name in piece.column_names
                else piece
                for piece in pieces
            ]
    return pa.concat_tables(pieces, promote_options="permissive").select(names)


def rejected_note(rejected: list[RejectedLine]) -> list[str]:
    """The message about lines that are not rows."""
    if not rejected:
        return []
    return [
        f"\nLines of the sample that are not rows: {len(rejected):,}. The first: {rejected[0]} fullrank convert "
        "rejects them, or leaves them out with --on_bad_record=skip."
    ]


def profile_table(
    sample: pa.Table, *, list_delimiter: str = "|", missing: Sequence[str] = ()
) -> dict[str, ColumnProfile]:
    """Profiles every column."""
    return {
        name: profile_column(name, plain(sample[name]), list_delimiter=list_delimiter, missing=missing)
        for name in sample.column_names
    }


def with_derived(sample: pa.Table, asked: Mapping[str, str], reading: Reading) -> tuple[Reading, pa.Table]:
    """The sample with computed columns, and the reading that defines them.

    Raises:
      SchemaError: If an expression cannot be computed.
    """
    if not asked:
        return reading, sample
    definitions: list[Derived] = []
    known: set[str] = set()
    for name, expression in asked.items():
        own = [column for column in columns_in(expression, name=name) if column in sample.column_names]
        profiles = profile_table(sample.select(own), list_delimiter=reading.list_delimiter, missing=reading.missing)
        inputs = tuple(
            Input(name=column, kind=_input_kind(profiles[column], listed=is_list(sample[column].type)))
            for column in own
            if column not in known
        )
        definitions.append(Derived(name=name, expression=expression, inputs=inputs))
        known.add(name)
    with in_memory() as connection:
        connection.register("given", sample)
        rows = connection.sql("FROM given")
        kinds = zip(sample.column_names, rows.columns, rows.types, strict=True)
        table = {name: TableColumn(identifier(written), kind) for name, written, kind in kinds}
        sql, columns, _ = derived(
            connection,
            "given",
            table,
            tuple(definitions),
            missing=reading.missing,
            list_delimiter=reading.list_delimiter,
        )
        cells = ", ".join(f"{columns[name].expression} AS c{number}" for number, name in enumerate(asked))
        found = connection.sql(f"SELECT {cells} FROM {sql}").to_arrow_table()
    for number, name in enumerate(asked):
        sample = sample.drop_columns([name]) if name in sample.column_names else sample
        sample = sample.append_column(name, plain(found[f"c{number}"]))
    return dataclasses.replace(reading, columns=tuple(definitions)), sample


def _input_kind(profile: ColumnProfile, *, listed: bool) -> InputKind:
    """The type that a column has in an expression.

    Lists are lists there, but a list that is written as text is text.
    """
    if listed:
        return _LISTS.get(profile.kind, "texts")
    if profile.listed:
        return "text"
    if is_time(profile):
        return "time_ms" if time_unit(profile) == "ms" else "time_s"
    return _CELLS.get(profile.kind, "text")
