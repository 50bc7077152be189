"""Step 3: counts the rows of every split, the numbers that are not missing, and the ids for the vocabularies."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as pa_dataset

from fullrank.data.beam.divide import Division
from fullrank.data.beam.job import Job, by_group, packed, unpacked, write_arrow
from fullrank.data.schema.features import Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.tables.staged_rows import StagedRows
from fullrank.data.writing.build import CHUNK_ROWS, TRAIN
from fullrank.data.writing.statistics import Moments, SplitStatistics, columns_of_table, names_of_numbers

COUNTS: Final = "counts"
_GROUP: Final = "id_group"

Ids = tuple[str, int]
"""A column, and the number of a group of its ids."""


def count_file(number: int, job: Job, division: Division) -> Iterator[tuple[Ids, bytes]]:
    """Counts what is in the `number`-th file, and returns the counts of ids, to be added to those of other files."""
    with job.whole_rows(number) as rows:
        splits = division.splits(rows, number, job)
        sizes = {
            name: int(rows.value(f"SELECT count(*) FROM {rows.relation} WHERE {where}"))
            for name, where in splits.items()
        }
        statistics = SplitStatistics(rows, splits[TRAIN])
        present = dict.fromkeys(names_of_numbers(job.schema), 0)
        for chunk in rows.batches(splits[TRAIN], itertools.repeat(CHUNK_ROWS), columns=statistics.columns):
            for name, values in statistics.numbers(column_batch(chunk, job.schema, columns=statistics.columns)):
                present[name] += len(values)
        lengths = {feature.name: statistics.lengths(feature) for feature in _lists(job.schema)}
        for name in counted_columns(job.schema):
            query = (
                f"SELECT CAST(hash(id) % {job.groups} AS INTEGER) AS {_GROUP}, id, n FROM {statistics.counted(name)} "
                f"ORDER BY {_GROUP}"
            )
            for group, part in by_group(rows.connection.sql(query).to_arrow_table(), _GROUP):
                yield (name, group), packed(part)
    job.note(number, COUNTS, {"sizes": sizes, "present": present, "lengths": lengths})


def added(counts: Iterable[bytes]) -> bytes:
    """The sums of several counts of ids."""
    tables = [unpacked(each) for each in counts if each]
    if not tables:
        return b""
    sums = pa.concat_tables(tables).group_by("id").aggregate([("n", "sum")])
    return packed(sums.rename_columns({"n_sum": "n"}))


def keep_ids(counted: tuple[Ids, bytes], job: Job) -> None:
    """Writes the counts of a group of ids."""
    (name, group), content = counted
    table = unpacked(content)
    write_arrow(_ids(job, name) / f"{group}.arrow", table.schema, table.to_batches())


def counted_columns(schema: Schema) -> tuple[str, ...]:
    """The columns whose ids are counted."""
    names = [feature.name for feature in schema.features if isinstance(feature, Sparse)]
    for feature in schema.tables:
        if feature.ids.kind == "vocabulary":
            names += columns_of_table(schema, feature)
    return tuple(dict.fromkeys(names))


class MergedStatistics(SplitStatistics):
    """The statistics of the training split, from the counts of all files.

    Args:
      rows: Staged rows without any, whose database takes the counts of ids.
      job: The conversion.
      counts: What step 3 noted about every file.
      numbers: Moments of all numbers.
    """

    def __init__(
        self, rows: StagedRows, job: Job, counts: Sequence[Mapping[str, Any]], numbers: Mapping[str, Moments]
    ) -> None:
        super().__init__(rows, "TRUE")
        self.rows = sum(each["sizes"][TRAIN] for each in counts)
        self._numbers = dict(numbers)
        self._lengths = {
            feature.name: [sum(each["lengths"][feature.name][k] for each in counts) for k in range(2)]
            for feature in _lists(job.schema)
        }
        for name in counted_columns(job.schema):
            files = sorted(map(str, _ids(job, name).glob("*.arrow")))
            if files:
                rows.connection.register("given", pa_dataset.dataset(files, format="ipc"))
                rows.connection.execute(f"CREATE TEMP TABLE {rows.stored_as(name)}_counted AS SELECT id, n FROM given")
                rows.connection.unregister("given")

    def lengths(self, feature: Sparse) -> tuple[int, int]:
        """How many lists of a feature are empty, and how many values all of them hold."""
        empty, values = self._lengths[feature.name]
        return empty, values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Where the rows of each file are among those of its splits.

    Attributes:
      rows: For each file, split -> how many rows of that split all files before it have.
      numbers: For each file, column -> how many numbers of the training split all files before it have.
      sizes: Split -> rows of all files.
    """

    rows: tuple[Mapping[str, int], ...]
    numbers: tuple[Mapping[str, int], ...]
    sizes: Mapping[str, int]


def places(counts: Sequence[Mapping[str, Any]]) -> Places:
    """The places, from what step 3 noted about every file."""
    rows, sizes = _running([each["sizes"] for each in counts])
    numbers, _ = _running([each["present"] for each in counts])
    return Places(rows=rows, numbers=numbers, sizes=sizes)


def _running(counts: Sequence[Mapping[str, int]]) -> tuple[tuple[Mapping[str, int], ...], Mapping[str, int]]:
    """The sums before each, and the sums of all."""
    sums = dict.fromkeys(counts[0], 0)
    before = []
    for each in counts:
        before.append(dict(sums))
        sums = {name: total + each[name] for name, total in sums.items()}
    return tuple(before), sums


def _lists(schema: Schema) -> list[Sparse]:
    return [feature for feature in schema.features if isinstance(feature, Sparse) and feature.max_values > 1]


def _ids(job: Job, name: str) -> Path:
    number = next(number for number, column in enumerate(job.schema.columns) if column.name == name)
    return Path(job.scratch) / f"ids-{number}"
