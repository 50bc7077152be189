"""Proposes a schema for CSV, TSV or Parquet files from a sample of their rows.

Usage:
  python -m fullrank.data.infer --input='clicks/*.parquet' --label=click --output=schema.json
  python -m fullrank.data.infer --input=log.csv --label=click,sale --ignore=row_id --numeric=age --output=schema.json

The table it prints says what each column was taken for and what to check. Edit schema.json where it guessed wrong, then
run `python -m fullrank.data.convert`. The rules are in the documentation of fullrank.data.propose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from absl import flags

from fullrank.data.arrow_types import is_list, is_text, plain
from fullrank.data.column_profile import ColumnProfile, profile_column
from fullrank.data.command import new_flags, run_command
from fullrank.data.command_errors import UsageError
from fullrank.data.decisions import Wishes
from fullrank.data.find_files import find_files
from fullrank.data.join_table import JoinTable, names_with_joins
from fullrank.data.propose import Proposal, propose
from fullrank.data.rejected_lines import RejectedLine, read_parts
from fullrank.data.schema_json import write_schema
from fullrank.data.scratch import temporary_directory
from fullrank.data.suggest import closest
from fullrank.data.table_database import open_database
from fullrank.data.table_files import BROKEN, Part, TableFiles
from fullrank.data.table_flags import define_table_flags, open_joins, read_dialect, read_joins
from fullrank.data.text_table import text_table
from fullrank.data.write_aside import check_new_file

_EXAMPLES_WIDTH: Final = 32
_FILES: Final = 100


def infer(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with flags or tables.
    """
    output = Path(flag_values.output) if flag_values.output else None
    if output is not None:
        check_new_file(output, overwrite=flag_values.overwrite)
    paths, dialect, joins = find_files(flag_values.input), read_dialect(flag_values), read_joins(flag_values)
    with temporary_directory("sample") as directory:
        readable = [file for files in (paths, *(join.files for join in joins)) for file in files]
        with open_database(directory, readable=readable) as connection:
            files = TableFiles(connection, paths, dialect=dialect, directory=directory)
            tables = open_joins(connection, joins, directory)
            sample, rejected = read_sample(connection, files, joins=tables, rows=flag_values.sample_rows)
    wishes = _wishes(flag_values, sample.column_names)
    profiles = profile_table(
        sample, list_delimiter=flag_values.list_delimiter, missing=tuple(flag_values.missing or ())
    )
    proposal = propose(profiles, name=flag_values.name or _name_of(paths[0]), wishes=wishes)
    print(describe(proposal, proposal.decisions.profiles, files=len(paths)))
    for note in rejected_note(rejected):
        print(note)
    if output is not None:
        written = write_schema(proposal.schema, output)
        print(f"\nWrote {written}. Look it over, then:")
        print(f"  {_next_command(flag_values, written)}")
    else:
        print("\nNothing was written: name a file by --output=schema.json.")


def read_sample(
    connection: duckdb.DuckDBPyConnection, files: TableFiles, *, joins: Sequence[JoinTable] = (), rows: int
) -> tuple[pa.Table, list[RejectedLine]]:
    """The first rows of every file, about `rows` in all, and the lines among them that are no rows.

    Of more than a hundred files some are sampled, evenly over all.

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
    """Tables below each other; a column that is text in some of them is text."""
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
    """What to say about lines that are no rows."""
    if not rejected:
        return []
    return [
        f"\nLines of the sample that are no rows: {len(rejected):,}. The first: {rejected[0]} fullrank.data.convert "
        "refuses them, or leaves them out by --on_bad_record=skip."
    ]


def profile_table(
    sample: pa.Table, *, list_delimiter: str = "|", missing: Sequence[str] = ()
) -> dict[str, ColumnProfile]:
    """Profiles every column."""
    return {
        name: profile_column(name, plain(sample[name]), list_delimiter=list_delimiter, missing=missing)
        for name in sample.column_names
    }


def describe(proposal: Proposal, profiles: dict[str, ColumnProfile], *, files: int) -> str:
    """The table for a person: what each column is used as, what it holds, what to check."""
    decisions = proposal.decisions
    rows = [
        (
            name,
            decisions.uses.get(name, "left out"),
            _holds(profile),
            f"{profile.distinct:,}",
            f"{profile.missing:.1%}",
            _shown(profile),
            decisions.left_out.get(name) or decisions.notes.get(name, ""),
        )
        for name, profile in profiles.items()
    ]
    sampled = next(iter(profiles.values())).rows
    title = f"{sampled:,} rows sampled from {files} file{'s' if files > 1 else ''}:\n\n"
    worth = [name for name in profiles if name in decisions.doubts or "Keep it by" in decisions.left_out.get(name, "")]
    if worth:
        lines = [f"  {name}: {decisions.left_out.get(name) or decisions.notes[name]}" for name in worth]
        title += "\n".join(["Worth a look:", *lines]) + "\n\n"
    header = ("column", "used as", "holds", "distinct", "missing", "examples", "reason, or what to check")
    return title + text_table(header, rows, right=(3, 4))


def _holds(profile: ColumnProfile) -> str:
    words = {"whole": "int", "real": "float", "none": "nothing", "other": "unsupported"}
    word = words.get(profile.kind, profile.kind)
    if not profile.listed:
        return word
    length = profile.fixed_length
    return f"{word} x {length if length is not None else f'0-{int(profile.lengths.max())}'}"


def _shown(profile: ColumnProfile) -> str:
    text = ", ".join(repr(value)[1:-1] for value in profile.examples)
    return text if len(text) <= _EXAMPLES_WIDTH else f"{text[: _EXAMPLES_WIDTH - 3]}..."


def _wishes(flag_values: flags.FlagValues, names: list[str]) -> Wishes:
    single = {"time": flag_values.time, "weight": flag_values.weight}
    several = {
        flag: flag_values[flag].value or [] for flag in ("label", "sparse", "numeric", "ignore", "key", "segment")
    }
    claimed: dict[str, str] = {}
    for flag, columns in {**several, **{flag: [column] for flag, column in single.items() if column}}.items():
        for column in columns:
            if column not in names:
                near = closest(column, names)
                hint = f" Did you mean {near!r}?" if near else f" There are: {', '.join(names[:20])}."
                raise UsageError(f"--{flag}={column}: the input has no such column.{hint}")
            other = claimed.setdefault(column, flag)
            if other != flag and not {other, flag} <= {"sparse", "key", "segment"}:
                raise UsageError(f"--{flag}={column}: the same column is given by --{other}.")
    return Wishes(
        labels=tuple(several["label"]),
        sparse=frozenset(several["sparse"]),
        numeric=frozenset(several["numeric"]),
        ignore=frozenset(several["ignore"]),
        keys=tuple(several["key"]),
        segments=tuple(several["segment"]),
        time=single["time"],
        weight=single["weight"],
    )


def _name_of(file: Path) -> str:
    stem = file.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_") or "data"


def _next_command(flag_values: flags.FlagValues, schema: Path) -> str:
    words = [f"python -m fullrank.data.convert --input='{flag_values.input}' --schema={schema} --output=records"]
    if flag_values.separator is not None:
        words.append(f"--separator='{flag_values.separator}'")
    if flag_values.header:
        words.append(f"--header={','.join(flag_values.header)}")
    for flag in ("quote", "encoding", "comment"):
        if flag_values[flag].present:
            words.append(f"--{flag}='{flag_values[flag].value}'")
    if flag_values.missing:
        words.append(f"--missing='{','.join(flag_values.missing)}'")
    if flag_values.list_delimiter != "|":
        words.append(f"--list_delimiter='{flag_values.list_delimiter}'")
    for flag in ("join", "on", "join_prefix"):
        words += [f"--{flag}='{value}'" for value in flag_values[flag].value or []]
    return " ".join(words)


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string(
        "input", None, "Files, e.g. 'clicks/*.parquet'; several patterns by commas.", required=True, **at
    )
    flags.DEFINE_list("label", None, "Columns of labels, the main task first.", required=True, **at)
    flags.DEFINE_string("output", None, "File to write, e.g. schema.json. Without it the table is only printed.", **at)
    flags.DEFINE_bool("overwrite", False, "Replace --output if it is there already.", **at)
    flags.DEFINE_string("name", None, "Name of the data set. By default that of the first file.", **at)
    flags.DEFINE_integer("sample_rows", 200_000, "Rows to look at, the first ones of every file.", lower_bound=1, **at)
    flags.DEFINE_list("sparse", None, "Columns of ids.", **at)
    flags.DEFINE_list("numeric", None, "Columns of amounts.", **at)
    flags.DEFINE_list("ignore", None, "Columns to leave out.", **at)
    flags.DEFINE_list("key", None, "Columns that group examples, for GAUC: the first is the default.", **at)
    flags.DEFINE_list("segment", None, "Columns over which metrics are reported, too.", **at)
    flags.DEFINE_string("time", None, "Column of the event time.", **at)
    flags.DEFINE_string("weight", None, "Column of the sample weight.", **at)
    define_table_flags(flag_values)
    run_command(lambda: infer(flag_values), flag_values=flag_values, argv=argv)


if __name__ == "__main__":
    run()
