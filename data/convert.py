"""Converts tables (CSV, TSV, Parquet, Arrow, JSON lines, LIBSVM, tf.Example) and a schema to records.

Usage:
  fullrank convert --input='clicks/*.parquet' --schema=schema.json --output=records
  fullrank convert --input=train.csv.gz --test_input=test.csv.gz --schema=schema.json --output=records
  fullrank convert --input=log.csv --split_column=fold --schema=schema.json --output=records
  fullrank convert --input=log.csv --join=bits.parquet --on=item_id --schema=schema.json --output=records
  fullrank convert --input=log.csv --exposures=user_id:item_id --schema=schema.json --output=records
  fullrank convert --input=log.csv --group_by=request_id --schema=schema.json --output=records
  fullrank convert --input='log/*.parquet' --schema=schema.json --output=records --runner=direct

`fullrank infer` proposes the schema, `fullrank inspect` shows the result.

Sequences of the tables have to run from the oldest to the newest and to end before the row's own time: behaviours that
were not known then are a leak. --only_earlier and --sort_by_time mend them; the schema may ask for that, too.

--group_by is for logs in which one user in one context met many ads: the columns of user and context, histories among
them, are stored once per request instead of once per row. Everything that reads records reads these, too.

Statistics and vocabularies come from the training split only. Files may be larger than memory. The output appears as a
whole when everything is written, and does not depend on --workers, nor on --runner, which converts on Apache Beam
(pip install 'fullrank[beam]'). How cells are read is stated in docs/tables.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from absl import flags

from fullrank.data.beam.convert import Tables, convert_on_beam
from fullrank.data.beam.flags import define_beam_flags, read_runner
from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.exposures.flags import define_exposure_flags, read_exposures
from fullrank.data.exposures.rows import add_exposures, check_exposable, exposure_extras
from fullrank.data.exposures.spec import exposed_schema
from fullrank.data.files.find_files import find_files
from fullrank.data.files.printable import closest
from fullrank.data.files.write_aside import check_replaceable
from fullrank.data.schema.features import Numeric
from fullrank.data.schema.json import FILE_NAME, read_schema
from fullrank.data.schema.request_parts import request_parts
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.columns import BAD
from fullrank.data.tables.files import TableFiles
from fullrank.data.tables.flags import define_table_flags, open_joins, read_dialect, read_joins, read_reading
from fullrank.data.tables.given_sequences import check_order, order_of_sequences
from fullrank.data.tables.history_rows import add_earlier_rows
from fullrank.data.tables.join import names_with_joins
from fullrank.data.tables.partial_files import partial_files
from fullrank.data.tables.request_rows import add_requests, request_extras
from fullrank.data.tables.sequence_flags import define_mending_flags, with_mending
from fullrank.data.tables.staged_rows import ROWS
from fullrank.data.writing.build import Builder, Building, Sources
from fullrank.data.writing.splits import SPLIT_COLUMN, SPLITS, Splits, at_random, by_column, by_source, by_time

COMPRESSIONS: Final[dict[str, Literal["", "GZIP"]]] = {"none": "", "gzip": "GZIP"}


def convert(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with flags, schema or tables.
    """
    output, runner = Path(flag_values.output), read_runner(flag_values)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=FILE_NAME)
    schema, exposures = read_schema(flag_values.schema), read_exposures(flag_values)
    if exposures is not None:
        schema = exposed_schema(schema, exposures)
    dialect, joins = read_dialect(flag_values), read_joins(flag_values)
    schema = with_mending(dataclasses.replace(schema, reading=read_reading(flag_values, schema.reading)), flag_values)
    per_request = _per_request(schema, flag_values)
    group_by = flag_values.group_by or []
    inputs = _inputs(flag_values)
    how = _how(flag_values, schema, sources=len(inputs))
    _check_apart(inputs)
    extras = {} if exposures is None else exposure_extras(exposures)
    bad_rows = BadRows(on_bad_record=flag_values.on_bad_record, max_fraction=flag_values.max_bad_fraction)
    building = Building(
        schema=schema,
        layout=flag_values.layout,
        compression=None if flag_values.compression is None else COMPRESSIONS[flag_values.compression],
        shards=flag_values.shards,
        workers=flag_values.workers,
        progress=flag_values.progress,
        per_request=per_request,
    )
    sources = Sources(
        bad_rows=bad_rows,
        optional=frozenset((*schema.filled, *(() if exposures is None else schema.extras[-2:]))),
        joins=len(joins),
        extras={
            **extras,
            **request_extras(group_by),
            **({SPLIT_COLUMN: flag_values.split_column} if how == "column" else {}),
        },
        readable=[file for files in (*inputs.values(), *(join.files for join in joins)) for file in files],
    )
    if runner is not None:
        tables_read = Tables(
            inputs=inputs,
            dialect=dialect,
            joins=joins,
            how=how,
            fractions=tuple(_fractions(flag_values.split_fractions)),
            seed=flag_values.seed,
            split_column=flag_values.split_column,
        )
        written, reports = convert_on_beam(
            output,
            runner=runner,
            building=building,
            sources=sources,
            tables=tables_read,
            overwrite=flag_values.overwrite,
        )
        print("\n".join([*reports, *_about_split(schema, how, flag_values), summary(written)]))
        return
    partial: list[str] = []
    with building.into(output, overwrite=flag_values.overwrite, sources=sources) as builder:
        rows = builder.rows
        tables = open_joins(rows.connection, joins, builder.scratch, reading=schema.reading)
        for name, paths in inputs.items():
            files = TableFiles(rows.connection, paths, dialect=dialect, directory=builder.scratch)
            names = names_with_joins(list(files.names), tables, source=str(paths[0]))
            if exposures is not None:
                check_exposable(names, exposures, schema, source=str(paths[0]))
            if how == "column" and flag_values.split_column not in names:
                raise ValueError(f"{paths[0]} has no column {flag_values.split_column!r}, which --split_column names.")
            for column in group_by:
                if column not in names:
                    meant = closest(column, names)
                    hint = f" Did you mean {meant!r}?" if meant else ""
                    raise ValueError(f"{paths[0]} has no column {column!r}, which --group_by names.{hint}")
            rows.add_files(name, files, joins=tables)
            partial += partial_files(files, wanted=rows.wanted)
        add_earlier_rows(rows)
        good = f"(SELECT * FROM {ROWS} WHERE {BAD} IS NULL)"
        check_order(order_of_sequences(schema, rows.connection, good, place_of=rows.stored_as))
        notes = [table.report(rows.partners(number), rows.total) for number, table in enumerate(tables)]
        if exposures is not None:
            notes.append(add_exposures(rows, exposures))
        if group_by:
            add_requests(rows, group_by)
        written = builder.write(_divided(builder, flag_values, how))
    said = [bad_rows.report(), *partial, *notes, builder.requests.report(), *_about_split(schema, how, flag_values)]
    for report in filter(None, said):
        print(report)
    print(summary(written))


def _per_request(schema: Schema, flag_values: flags.FlagValues) -> tuple[str, ...]:
    """The columns that are stored once per request; none without --group_by."""
    if not flag_values.group_by:
        return ()
    if (flag_values.layout or schema.layout) != "block":
        raise UsageError("--group_by needs the block layout: a record of the example layout is one row.")
    try:
        once = request_parts(schema).columns
    except SchemaError as error:
        raise UsageError(f"--group_by stores the columns of user and context once per request, but {error}.") from error
    return tuple(column.name for column in schema.columns if column.name in once)


def _inputs(flag_values: flags.FlagValues) -> dict[str, tuple[Path, ...]]:
    patterns = zip(SPLITS, (flag_values.input, flag_values.validation_input, flag_values.test_input), strict=True)
    return {name: find_files(pattern) for name, pattern in patterns if pattern}


def _check_apart(inputs: dict[str, tuple[Path, ...]]) -> None:
    """Rejects a file that is an input of two splits."""
    flag_of = dict(zip(SPLITS, ("--input", "--validation_input", "--test_input"), strict=True))
    owners: dict[Path, str] = {}
    for name, files in inputs.items():
        for file in files:
            first = owners.setdefault(file.resolve(), name)
            if first != name:
                raise UsageError(
                    f"{flag_of[first]} and {flag_of[name]} both name {file}, whose rows would be in both splits: "
                    "leave it out of one of them."
                )


def _how(flag_values: flags.FlagValues, schema: Schema, *, sources: int) -> str:
    """The split rule: `source`, `column`, `time` or `random`."""
    how: str = flag_values.split
    if sources > 1:
        if how != "auto":
            raise UsageError(f"--split={how} cannot go with --validation_input or --test_input.")
        return "source"
    if how == "auto":
        how = "column" if flag_values.split_column else "time" if schema.time else "random"
    if (how == "column") != bool(flag_values.split_column):
        raise UsageError("--split=column and --split_column=NAME go together.")
    _fractions(flag_values.split_fractions)
    return how


def _about_split(schema: Schema, how: str, flag_values: flags.FlagValues) -> list[str]:
    """A line if rows are divided at random because nothing says when they were."""
    if how != "random" or flag_values.split == "random" or schema.time is not None:
        return []
    return [
        "Rows are divided at random, because the schema names no time: a model is then tested on the days that it was "
        "trained on. Name the event time by infer --time, or say --split=random."
    ]


def _divided(builder: Builder, flag_values: flags.FlagValues, how: str) -> Splits:
    if how == "source":
        return by_source(builder.rows)
    if how == "column":
        return by_column(builder.rows, column=flag_values.split_column)
    fractions = _fractions(flag_values.split_fractions)
    if how == "time":
        return by_time(builder.rows, fractions=fractions)
    return at_random(builder.rows, fractions=fractions, seed=flag_values.seed)


def summary(schema: Schema) -> str:
    """A readable summary of what was written."""
    lines = [f"Wrote {schema.directory}, {schema.layout} layout{', gzip' if schema.compression else ''}:"]
    for split in schema.splits:
        files = f"{len(split.shards)} file{'s' if len(split.shards) > 1 else ''}"
        lines.append(f"  {split.name}: {split.examples:,} examples in {files}")
    for label in schema.labels:
        mean = "never observed" if label.mean is None else f"mean {label.mean:.6g}"
        lines.append(f"  label {label.name}: {mean} (train)")
    for feature in schema.features:
        if isinstance(feature, Numeric) and feature.statistics is not None and feature.statistics.missing == 1.0:
            lines.append(f"  number {feature.name}: never observed (train)")
    tables = [feature for feature in schema.tables if feature.ids.kind == "vocabulary"]
    if tables:
        lines.append("  vocabularies: " + ", ".join(f"{table.name} {table.ids.size:,}" for table in tables))
    lines.append(f"Next: fullrank inspect --data={schema.directory}")
    return "\n".join(lines)


def _fractions(words: Sequence[str]) -> list[float]:
    try:
        fractions = [float(word) for word in words]
    except ValueError:
        fractions = []
    if not (1 <= len(fractions) <= len(SPLITS) and all(share > 0 for share in fractions)):
        raise UsageError(
            f"--split_fractions needs one to three positive numbers, for train, validation and test. "
            f"Received: {','.join(words)!r}."
        )
    if abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(
            f"--split_fractions must add up to 1. Received: {','.join(words)}, which is {sum(fractions):g}."
        )
    return fractions


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    _define_flags(flag_values)
    define_table_flags(flag_values)
    define_exposure_flags(flag_values)
    define_mending_flags(flag_values)
    define_beam_flags(flag_values)
    run_command(lambda: convert(flag_values), flag_values=flag_values, argv=argv)


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    patterns = {**at, "allow_overwrite": False}  # a second one would drop the first without a word
    flags.DEFINE_string(
        "input", None, "Files, e.g. 'clicks/*.parquet'; several patterns by commas.", required=True, **patterns
    )
    flags.DEFINE_string("schema", None, "Schema of the records, as infer proposes it.", required=True, **at)
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_string(
        "validation_input", None, "Files of the validation split; --input is then train only.", **patterns
    )
    flags.DEFINE_string("test_input", None, "Files of the test split; --input is then train only.", **patterns)
    flags.DEFINE_enum(
        "split",
        "auto",
        ["auto", "time", "random", "column"],
        "How --input is divided: by the schema's time column (the oldest rows train; exactly as a stable sort would, "
        "but rows keep their order), at random by row number, or by a column that names the split. auto: by "
        "--split_column if given, else by time if the schema has one, else at random.",
        **at,
    )
    flags.DEFINE_list("split_fractions", ["0.8", "0.1", "0.1"], "Shares of train, validation and test.", **at)
    flags.DEFINE_string("split_column", None, "Column that holds train, validation or test.", **at)
    flags.DEFINE_list(
        "group_by",
        None,
        "Columns of the tables that say which rows are one request, e.g. request_id or user_id,time: the columns of "
        "user and context are stored once for all of them, and no split divides them.",
        **at,
    )
    flags.DEFINE_integer("seed", 0, "Seed of --split=random.", lower_bound=0, **at)
    flags.DEFINE_enum("layout", None, ["block", "example"], "Layout of the records. By default the schema's.", **at)
    flags.DEFINE_enum(
        "compression", None, list(COMPRESSIONS), "Compression of the records; by default the schema's.", **at
    )
    flags.DEFINE_integer(
        "shards",
        None,
        "Files per split. By default one per 100,000 examples, but at least four (fewer only below 3,001 examples).",
        lower_bound=1,
        **at,
    )
    flags.DEFINE_integer("workers", None, "Threads. By default one per core.", lower_bound=1, **at)
    flags.DEFINE_bool("overwrite", False, "Replace a data set that is in --output already.", **at)
    flags.DEFINE_enum("on_bad_record", "fail", ["fail", "skip"], "What to do at a row that cannot be converted.", **at)
    flags.DEFINE_float(
        "max_bad_fraction", 0.01, "With --on_bad_record=skip: largest share of bad rows.", 0.0, 1.0, **at
    )
    flags.DEFINE_bool("progress", True, "Show progress bars.", **at)


if __name__ == "__main__":
    run()
