"""A conversion on Apache Beam: the steps in their order, and what this process decides between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fullrank.data.beam.count import COUNTS, MergedStatistics, places
from fullrank.data.beam.declarations import check_declarations
from fullrank.data.beam.divide import divided
from fullrank.data.beam.flags import Runner, check_formats, check_paths
from fullrank.data.beam.job import STAGED, InputFile, Job
from fullrank.data.beam.numbers import merged_numbers
from fullrank.data.beam.pipelines import Pipelines
from fullrank.data.beam.shards import written_splits
from fullrank.data.files.find_files import partition_of
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.columns import check_names
from fullrank.data.tables.files import FIRST, Dialect, TableFiles
from fullrank.data.tables.flags import Join, open_joins
from fullrank.data.tables.given_sequences import SequenceOrder, check_order
from fullrank.data.tables.join import JoinTable, names_with_joins
from fullrank.data.tables.partial_files import partial_files
from fullrank.data.writing.build import (
    TRAIN,
    Builder,
    Building,
    Sources,
    check_splits,
    check_training_rows,
    shard_ends,
)

GROUP_ROWS: Final = 200_000
"""Rows in a group of keys, on average: they fit in the memory of a worker."""
_MOST_GROUPS: Final = 4_096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tables:
    """What is read, and how it is divided into splits.

    Attributes:
      inputs: Source -> its files.
      dialect: Dialect of those that are CSV.
      joins: Tables that are joined to each of them.
      how: The split rule: `source`, `column`, `time` or `random`.
      fractions: Shares of the splits by time and at random.
      seed: Seed of the splits at random.
      split_column: The column that names the splits, for the rule `column`.
    """

    inputs: Mapping[str, tuple[Path, ...]]
    dialect: Dialect
    joins: tuple[Join, ...]
    how: str
    fractions: tuple[float, ...]
    seed: int
    split_column: str | None


def convert_on_beam(
    output: Path, *, runner: Runner, building: Building, sources: Sources, tables: Tables, overwrite: bool
) -> tuple[Schema, list[str]]:
    """Writes the data set that a conversion in this process would write.

    Args:
      output: Directory to write, on a file system that all workers see.
      runner: Where the steps run.
      building: Settings for writing records.
      sources: The source of the rows.
      tables: What is read.
      overwrite: Whether a data set in `output` is replaced.

    Returns:
      The schema, and lines for the user.

    Raises:
      UsageError: If only a conversion in this process can do what is asked.
      ValueError: If Apache Beam is not installed, or anything is wrong with the tables.
    """
    check_declarations(building.schema)
    files = [file for files in tables.inputs.values() for file in files]
    check_formats(files)
    check_paths([*files, *(file for join in tables.joins for file in join.files)], runner)
    pipelines = Pipelines(runner)
    with building.into(output, overwrite=overwrite, sources=sources) as builder:
        joined = open_joins(builder.rows.connection, tables.joins, builder.scratch, reading=building.schema.reading)
        job, partial = _job(builder, building, sources, tables, joined)
        pipelines.read(job)
        found = job.noted(STAGED)
        _judge(found, sources.bad_rows)
        check_order(_orders(found))
        groups = sum(each["rows"] for each in found) // GROUP_ROWS + 1
        job = dataclasses.replace(job, groups=min(groups, _MOST_GROUPS))
        if job.declarations:
            pipelines.take_earlier(job)
        notes = [
            table.report(sum(each["partners"][number] for each in found), sum(each["rows"] for each in found))
            for number, table in enumerate(joined)
        ]
        division = divided(job, found, builder.rows.connection, column=str(tables.split_column))
        _leave_out([row for each in found for row in each.get("without_time", ())], sources.bad_rows)
        check_splits(division.split_names(job))
        sources.bad_rows.check()
        pipelines.count(job, division)
        counts = job.noted(COUNTS)
        where = places(counts)
        check_training_rows(where.sizes[TRAIN])
        ends = {name: tuple(shard_ends(rows, split=name, shards=building.shards)) for name, rows in where.sizes.items()}
        pipelines.write(job, division, where, ends)
        statistics = MergedStatistics(builder.rows, job, counts, merged_numbers(job))
        schema = builder.finish(statistics, written_splits(job, ends))
    return schema, [note for note in (sources.bad_rows.report(), *partial, *notes) if note]


def _job(
    builder: Builder, building: Building, sources: Sources, tables: Tables, joined: Sequence[JoinTable]
) -> tuple[Job, list[str]]:
    """The job, once the names of all columns are known and checked, and a line for files that lack some of them."""
    rows = builder.rows
    partial: list[str] = []
    files: list[InputFile] = []
    known: list[tuple[str, ...]] = []
    for number, paths in enumerate(tables.inputs.values()):
        given = TableFiles(rows.connection, paths, dialect=tables.dialect, directory=builder.scratch)
        names = names_with_joins(list(given.names), joined, source=str(paths[0]))
        if tables.how == "column" and tables.split_column not in names:
            raise ValueError(f"{paths[0]} has no column {tables.split_column!r}, which --split_column names.")
        own = [column.name for column in (rows.schema.reading or Reading()).columns if column.name not in names]
        check_names([*names, *own], rows.schema, source=str(paths[0]), optional=sources.optional)
        known.append(tuple(names))
        partial += partial_files(given, wanted=rows.wanted)
        later = tables.dialect
        if later.header == FIRST:
            first = [name for name in given.part(paths[:1]).columns if name not in partition_of(paths[0])]
            later = dataclasses.replace(later, header=tuple(first))
        files += [
            InputFile(
                path=str(path),
                source=number,
                dialect=tables.dialect if path == paths[0] else later,
            )
            for path in paths
        ]
    job = Job(
        schema=rows.schema,
        files=tuple(files),
        sources=tuple(tables.inputs),
        how=tables.how,
        fractions=tables.fractions,
        seed=tables.seed,
        names=tuple(known),
        optional=sources.optional,
        extras=sources.extras,
        joins=tables.joins,
        scratch=str(builder.scratch / "steps"),
        output=str(builder.aside),
        shards=building.shards,
        groups=1,
    )
    return job, partial


def _judge(found: Sequence[Mapping[str, Any]], bad_rows: BadRows) -> None:
    """Counts bad rows in the order of the files.

    Raises:
      ValueError: If a file cannot be read, a row is bad and bad rows are not skipped, or too many are bad.
    """
    for each in found:
        if "error" in each:
            raise ValueError(each["error"])
        _leave_out(each["rejects"], bad_rows)
    bad_rows.saw(sum(each["seen"] for each in found))


def _leave_out(rejects: Sequence[tuple[str, int, str]], bad_rows: BadRows) -> None:
    for file, row, message in rejects:
        bad_rows.add(message, file=file, row=row)


def _orders(found: Sequence[Mapping[str, Any]]) -> list[SequenceOrder]:
    """The order of the sequences over all files."""
    together = []
    for same in zip(*(each["orders"] for each in found), strict=True):
        sums = {name: sum(each[name] for each in same) for name in ("rows", "late", "late_rows", "unsorted_rows")}
        turned = all(each["newest_first"] for each in same if each["unsorted_rows"])
        together.append(SequenceOrder(name=same[0]["name"], newest_first=turned, **sums))
    return together
