"""Proposes a schema for tables (all formats that `fullrank convert` reads) from a sample of their rows.

Usage:
  fullrank infer --input='clicks/*.parquet' --label=click --output=schema.json
  fullrank infer --input=log.csv --label=click,sale --ignore=row_id --numeric=age --output=schema.json

The table it prints says what each column was taken for and what to check. Edit schema.json where it guessed wrong, then
run `fullrank convert`. The rules are in the documentation of fullrank.data.proposal.propose.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.command.help import text_table
from fullrank.data.files.find_files import find_files
from fullrank.data.files.printable import closest
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import check_new_file
from fullrank.data.proposal.column_profile import ColumnProfile
from fullrank.data.proposal.decisions import FEW_GAPS, IdChoice, Wishes
from fullrank.data.proposal.name_hints import is_part_of_time
from fullrank.data.proposal.propose import Proposal, propose
from fullrank.data.proposal.sample import profile_table, read_sample, rejected_note, with_derived
from fullrank.data.proposal.written_flags import written_flag
from fullrank.data.schema.json import write_schema
from fullrank.data.schema.metadata_pbtxt import read_metadata
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import TableFiles
from fullrank.data.tables.flags import define_table_flags, open_joins, read_dialect, read_joins, read_reading
from fullrank.data.tables.history_flags import define_history_flags, with_histories, with_past
from fullrank.data.tables.partial_files import partial_files
from fullrank.data.tables.sequence_flags import define_sequence_flags, with_sequences

_EXAMPLES_WIDTH: Final = 32


def infer(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with flags or tables.
    """
    output = Path(flag_values.output) if flag_values.output else None
    if output is not None:
        check_new_file(output, overwrite=flag_values.overwrite)
    paths, dialect, joins = find_files(flag_values.input), read_dialect(flag_values), read_joins(flag_values)
    reading = read_reading(flag_values, None) or Reading()
    with temporary_directory("sample") as directory:
        readable = [file for files in (paths, *(join.files for join in joins)) for file in files]
        with open_database(directory, readable=readable) as connection:
            files = TableFiles(connection, paths, dialect=dialect, directory=directory)
            tables = open_joins(connection, joins, directory, reading=reading)
            sample, rejected = read_sample(connection, files, joins=tables, rows=flag_values.sample_rows)
            partial = partial_files(files)
    asked, labels = _asked_columns(flag_values)
    reading, sample = with_derived(sample, asked, reading)
    wishes = _wishes(flag_values, sample.column_names, labels)
    read = {column.name: column.inputs for column in reading.columns}
    computed_from = {given.name: label for label in labels for given in read.get(label, ()) if given.name != label}
    wishes = dataclasses.replace(wishes, computed_from=computed_from, gaps=frozenset(flag_values.gaps or ()))
    profiles = profile_table(sample, list_delimiter=reading.list_delimiter, missing=reading.missing)
    proposal = propose(profiles, name=flag_values.name or _name_of(paths[0]), wishes=wishes)
    padded = tuple(name for name, profile in profiles.items() if profile.padded and name in proposal.decisions.uses)
    reading = dataclasses.replace(reading, padded=padded)
    for name in padded:
        own = proposal.decisions.notes.get(name)
        proposal.decisions.notes[name] = f"0 fills the lists up and is left out{f'; {own}' if own else ''}"
    schema = dataclasses.replace(proposal.schema, reading=None if reading == Reading() else reading)
    numbers = [name for name, p in profiles.items() if p.kind in ("whole", "real") and not (p.listed or p.infinite)]
    whole = [name for name in numbers if profiles[name].kind == "whole"]
    schema = with_histories(schema, flag_values, numbers=whole)
    schema = with_past(schema, flag_values, numbers=numbers)
    schema, about_order = with_sequences(schema, flag_values, sample)
    # Before anything is printed, so that a reader that closes the pipe finds it.
    written = None if output is None else write_schema(schema, output)
    print(describe(proposal, proposal.decisions.profiles, files=len(paths)))
    if schema.filled:
        print(f"\nTaken from earlier rows: {', '.join(schema.filled)}.")
    if schema.extras:
        print(f"Of earlier rows only, and no inputs: {', '.join(schema.extras)}.")
    for note in (*partial, *_about_sides(schema), *about_order, *rejected_note(rejected)):
        print(note)
    if written is not None:
        print(f"\nWrote {written}. Look it over, then:")
        print(f"  {_next_command(flag_values, written)}{_split_flag(proposal)}")
    else:
        print("\nNothing was written: name a file by --output=schema.json.")


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
    worth: dict[str, list[str]] = {}
    for name in profiles:
        if name in decisions.doubts or "Keep it by" in decisions.left_out.get(name, ""):
            worth.setdefault(decisions.left_out.get(name) or decisions.notes[name], []).append(name)
    if worth:
        lines = [f"  {', '.join(names)}: {reason}" for reason, names in worth.items()]
        title += "\n".join(["Worth a look:", *lines]) + "\n\n"
    header = ("column", "used as", "holds", "distinct", "missing", "examples", "reason, or what to check")
    return title + text_table(header, rows, right=(3, 4))


def _about_sides(schema: Schema) -> list[str]:
    """A line about the features that no name tells to be of user or ad, where both sides are there."""
    sides = {feature.name: feature.side for feature in schema.features}
    unknown = [name for name, side in sides.items() if side == "context" and not is_part_of_time(name)]
    if not unknown or not {"user", "ad"} <= set(sides.values()):
        return []
    return [
        f'\nOf user or ad? The names do not say: {", ".join(unknown)}. In the schema they have "side": "context", and '
        'a request for many ads holds one value of each: write "ad" or "user" there if that is not so.'
    ]


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


def _wishes(flag_values: flags.FlagValues, names: list[str], labels: list[str]) -> Wishes:
    single = {"time": flag_values.time, "weight": flag_values.weight}
    several = {"label": labels}
    several |= {flag: list(flag_values[flag].value or []) for flag in ("sparse", "numeric", "ignore", "key", "segment")}
    choices = _id_choices(flag_values.ids or [])
    several["ids"] = list(choices)
    claimed: dict[str, str] = {}
    for flag, columns in {**several, **{flag: [column] for flag, column in single.items() if column}}.items():
        for column in columns:
            if column not in names:
                near = closest(column, names)
                hint = f" Did you mean {near!r}?" if near else f" There are: {', '.join(names[:20])}."
                raise UsageError(f"--{flag}={column}: the input has no such column.{hint}")
            other = claimed.setdefault(column, flag)
            if other != flag and not {other, flag} <= {"sparse", "ids", "key", "segment"}:
                raise UsageError(f"--{flag}={column}: the same column is given by --{other}.")
    if flag_values.metadata is not None:
        hints = read_metadata(Path(flag_values.metadata))
        for flag, hinted in hints._asdict().items():
            several[flag] += [column for column in names if column in hinted and column not in claimed]
    return Wishes(
        ids=choices,
        labels=tuple(several["label"]),
        sparse=frozenset([*several["sparse"], *choices]),
        numeric=frozenset(several["numeric"]),
        ignore=frozenset(several["ignore"]),
        keys=tuple(several["key"]),
        segments=tuple(several["segment"]),
        time=single["time"],
        weight=single["weight"],
    )


def _id_choices(texts: Sequence[str]) -> dict[str, IdChoice]:
    """Column -> kind, of `column:kind`."""
    found: dict[str, IdChoice] = {}
    for text in texts:
        column, _, kind = text.rpartition(":")
        if not column or kind not in get_args(IdChoice):
            raise UsageError(f"--ids={text}: give COLUMN:KIND, where KIND is {', '.join(get_args(IdChoice))}.")
        found[column] = cast(IdChoice, kind)
    return found


def _asked_columns(flag_values: flags.FlagValues) -> tuple[dict[str, str], list[str]]:
    """Name -> expression of every column to compute, and the names of the labels."""
    asked: dict[str, str] = {}
    labels = []
    for flag, text in [
        *(("column", text) for text in flag_values.column or []),
        *(("label", t) for t in flag_values.label),
    ]:
        name, found, expression = text.partition("=")
        name = name.strip()
        if text.count("(") != text.count(")") and flag == "label":
            raise UsageError(
                f"--label is split at commas, also within an expression. Received: {text!r}. Compute the column by "
                f"--column='name=expression', and name it by --label=name."
            )
        if flag == "label":
            labels.append(name)
            if not found:
                continue
        if not name or not expression.strip():
            raise UsageError(f"--{flag} takes name=expression, as in 'hour=hour(time)'. Received: {text!r}.")
        if name in asked:
            raise UsageError(f"--{flag}={text}: there is another expression for {name!r}.")
        asked[name] = expression.strip()
    return asked, labels


def _name_of(file: Path) -> str:
    stem = file.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_") or "data"


def _next_command(flag_values: flags.FlagValues, schema: Path) -> str:
    words = ["fullrank convert", written_flag("input", flag_values.input), written_flag("schema", str(schema))]
    words.append("--output=records")
    for flag in ("separator", "header", "quote", "encoding", "comment"):
        if flag_values[flag].present:
            words.append(written_flag(*flag_values[flag].serialize().removeprefix("--").split("=", 1)))
    for flag in ("join", "on", "join_prefix"):
        words += [written_flag(flag, value) for value in flag_values[flag].value or []]
    return " ".join(words)


def _split_flag(proposal: Proposal) -> str:
    """The flag that convert needs if rows lack the time by which it would split them; "" if none do."""
    time = proposal.schema.time
    missing = proposal.decisions.profiles[time].missing if time is not None else 0.0
    return "" if not missing else " --on_bad_record=skip" if missing <= FEW_GAPS else " --split=random"


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    at: dict[str, Any] = {"flag_values": flag_values}
    once = {**at, "allow_overwrite": False}  # a second list would drop the first without a word
    flags.DEFINE_string(
        "input",
        None,
        "Files, e.g. 'clicks/*.parquet'; several patterns by commas.",
        required=True,
        **once,
    )
    flags.DEFINE_list(
        "label",
        None,
        "Columns of labels, the main task first; a label may be computed, as in 'click=rating>=4'.",
        required=True,
        **once,
    )
    flags.DEFINE_multi_string(
        "column",
        None,
        "A column to compute from others of its row, in DuckDB's language, e.g. 'hour=hour(time)' or "
        "'log_price=ln(1+price)'. It goes into the schema. May be repeated.",
        **at,
    )
    flags.DEFINE_string("output", None, "File to write, e.g. schema.json. Without it the table is only printed.", **at)
    flags.DEFINE_bool("overwrite", False, "Replace --output if it is there already.", **at)
    flags.DEFINE_string("name", None, "Name of the data set. By default that of the first file.", **at)
    flags.DEFINE_integer("sample_rows", 200_000, "Rows to look at, the first ones of every file.", lower_bound=1, **at)
    flags.DEFINE_list("sparse", None, "Columns of ids.", **once)
    flags.DEFINE_list(
        "ids",
        None,
        "How ids become rows, as in 'item_id:compositional': vocabulary (a row per id), hash (four rows per id, one of "
        "which it reads) or compositional (one row per id, two of which it reads and adds: a quarter of the memory).",
        **once,
    )
    flags.DEFINE_list("numeric", None, "Columns of amounts.", **once)
    flags.DEFINE_list("ignore", None, "Columns to leave out.", **once)
    flags.DEFINE_list("key", None, "Columns that group examples, for GAUC: the first is the default.", **once)
    flags.DEFINE_list("segment", None, "Columns over which metrics are reported, too.", **once)
    flags.DEFINE_string("time", None, "Column of the event time.", **at)
    flags.DEFINE_string("weight", None, "Column of the sample weight.", **at)
    flags.DEFINE_string(
        "metadata",
        None,
        "schema.pbtxt of TensorFlow Metadata: what it says of columns holds where no other flag does.",
        **at,
    )
    define_history_flags(flag_values)
    define_sequence_flags(flag_values)
    define_table_flags(flag_values)
    run_command(lambda: infer(flag_values), flag_values=flag_values, argv=argv)


if __name__ == "__main__":
    run()
