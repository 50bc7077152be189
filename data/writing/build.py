"""Writes a data set directory: statistics and vocabularies of the training split, then the shards of every split."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from fullrank.data.files.write_aside import written_aside
from fullrank.data.records.frames import shard_name
from fullrank.data.schema.json import FILE_NAME, write_schema
from fullrank.data.schema.reading import Reading
from fullrank.data.schema.schema import Schema, SchemaError, Shard, Split
from fullrank.data.schema.vocabulary import write_distinct_ids
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import cores, open_database
from fullrank.data.tables.staged_rows import StagedRows
from fullrank.data.writing.encode_chunk import encode_chunk, in_order
from fullrank.data.writing.request_counts import RequestCounts, chunk_lengths, request_ends
from fullrank.data.writing.splits import Splits, by_source
from fullrank.data.writing.statistics import SplitStatistics

TRAIN: Final = "train"
LARGEST_TABLE: Final = 2**31
CHUNK_ROWS: Final = 8_000
"""Rows encoded at a time: whole blocks, small enough for many threads and little memory."""
REJECTS: Final = "rejects.csv"
"""File of the output that lists every row that was left out: its file, its number there, and the reason."""
_SPLIT_NAME: Final = re.compile(r"[A-Za-z0-9_]+")

Rows = Callable[[], Iterable[pa.RecordBatch]]
"""Gives the rows of a split."""


def build_records(
    *,
    splits: Mapping[str, Rows],
    schema: Schema,
    output: str | Path,
    layout: Literal["block", "example"] | None = None,
    compression: Literal["", "GZIP"] | None = None,
    shards: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    list_delimiter: str | None = None,
    bad_rows: BadRows | None = None,
) -> Schema:
    """Converts tables to records and returns the finished schema, which is also in `output/schema.json`.

    Rows are read once, into a database on disk. Vocabularies and statistics know the training split only. Examples keep
    the order of the rows, and shards are contiguous runs of equal length. The result does not depend on the number of
    workers. `output` appears as a whole at the end; until then everything is in a sibling directory.

    Args:
      splits: Split name to a function that gives its rows, in order. `train` must be among them.
      schema: Schema of the rows; its statistics, vocabulary sizes and splits are filled in.
      output: Directory to write.
      layout: `block` or `example`; `None` for the schema's.
      compression: `""` or `"GZIP"`; `None` for the schema's.
      shards: Files per split; `None` for `default_shards`.
      workers: Threads that convert and encode; `None` for one per core.
      overwrite: Whether a data set in `output` is replaced.
      progress: Whether to show progress bars.
      list_delimiter: Separator of the values of a list in a column of text; `None` for that of the schema.
      bad_rows: How to treat rows that cannot be converted, and where they are counted; `None` fails at the first.

    Returns:
      The schema with splits, statistics and vocabulary sizes; its directory is `output`.

    Raises:
      FileExistsError: If `output` exists and may not be replaced.
      SchemaError: If `splits` has no `train` or a name that cannot be part of a file name.
      ValueError: If a row cannot be converted and bad rows are not skipped; the message names file, row and column.
    """
    check_splits(splits, shards=shards, workers=workers)
    building = Building(
        schema=schema, layout=layout, compression=compression, shards=shards, workers=workers, progress=progress
    )
    if list_delimiter is not None:
        given = dataclasses.replace(schema.reading or Reading(), list_delimiter=list_delimiter)
        building = dataclasses.replace(building, schema=dataclasses.replace(schema, reading=given))
    sources = Sources(bad_rows=BadRows() if bad_rows is None else bad_rows)
    with building.into(output, overwrite=overwrite, sources=sources) as builder:
        for name, source in splits.items():
            builder.rows.add_batches(name, source())
        return builder.write(by_source(builder.rows))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """The source of the rows; see `StagedRows` and `open_database`."""

    bad_rows: BadRows
    optional: frozenset[str] = frozenset()
    joins: int = 0
    extras: Mapping[str, str] = dataclasses.field(default_factory=dict)
    readable: Sequence[Path] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Building:
    """The settings for writing records; see `build_records`.

    Attributes:
      per_request: Columns that are held once per request, if the rows are grouped by request (`add_requests`).
    """

    schema: Schema
    layout: Literal["block", "example"] | None = None
    compression: Literal["", "GZIP"] | None = None
    shards: int | None = None
    workers: int | None = None
    progress: bool = True
    per_request: tuple[str, ...] = ()

    @contextlib.contextmanager
    def into(self, output: str | Path, *, overwrite: bool, sources: Sources) -> Iterator[Builder]:
        """Yields a builder, whose result appears as `output` when the block ends without an error."""
        _check_sizes(self.schema)
        schema = dataclasses.replace(
            self.schema,
            layout=self.schema.layout if self.layout is None else self.layout,
            compression=self.schema.compression if self.compression is None else self.compression,
            splits=(),
            directory=None,
        )
        with (
            written_aside(Path(output), overwrite=overwrite, made_of=FILE_NAME) as aside,
            tempfile.TemporaryDirectory(dir=aside, prefix="rows-") as directory,
            open_database(Path(directory), threads=self.workers, readable=sources.readable) as connection,
        ):
            rows = StagedRows(
                connection,
                schema=schema,
                bad_rows=sources.bad_rows,
                optional=sources.optional,
                joins=sources.joins,
                extras=sources.extras,
            )
            yield Builder(self, rows, Path(output), aside, Path(directory))


class Builder:
    """Writes staged rows as a data set.

    Attributes:
      rows: The staged rows, to which rows are added.
      aside: The directory that becomes the data set.
      scratch: A directory in it for temporary files until the records are written.
      requests: How many requests were written, if rows are grouped by request.
    """

    def __init__(self, building: Building, rows: StagedRows, output: Path, aside: Path, scratch: Path) -> None:
        self.rows = rows
        self.scratch = scratch
        self.requests = RequestCounts()
        self._building = building
        self._output = output
        self.aside = aside

    def write(self, splits: Splits) -> Schema:
        """Writes every split, vocabularies and the schema, which is returned.

        Raises:
          SchemaError: If there is no split `train`, or a split's name cannot be part of a file name.
          ValueError: If a split has no rows, or too many rows were bad.
        """
        check_splits(splits)
        self.rows.bad_rows.check()
        progress = self._building.progress
        statistics = SplitStatistics(self.rows, splits[TRAIN])
        check_training_rows(statistics.rows)
        with _bar(f"counting {TRAIN}", statistics.rows, progress) as bar:
            chunks = self.rows.batches(splits[TRAIN], itertools.repeat(CHUNK_ROWS), columns=statistics.columns)
            for chunk in chunks:
                statistics.add(column_batch(chunk, self.rows.schema, columns=statistics.columns))
                bar.update(chunk.num_rows)
        return self.finish(statistics, tuple(self._split(name, where) for name, where in splits.items()))

    def finish(self, statistics: SplitStatistics, splits: tuple[Split, ...]) -> Schema:
        """Writes vocabularies, the schema and the list of bad rows next to the shards of all splits."""
        fitted = statistics.fitted(_write_vocabularies(statistics, self.rows.schema, self.aside))
        fitted = dataclasses.replace(fitted, splits=splits)
        write_schema(fitted, self.aside)
        if self.rows.bad_rows.rejects:
            with open(self.aside / REJECTS, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                csv.writer(file).writerows([("file", "row", "reason"), *self.rows.bad_rows.rejects])
        return dataclasses.replace(fitted, directory=self._output)

    def _split(self, name: str, where: str) -> Split:
        schema = self.rows.schema
        rows = int(self.rows.value(f"SELECT count(*) FROM {self.rows.relation} WHERE {where}"))
        ends = shard_ends(rows, split=name, shards=self._building.shards)
        shards = len(ends)
        whole = None if self.rows.request is None else request_ends(self.rows, where)
        if whole is not None:
            ends = np.unique(whole[np.searchsorted(whole, ends)]).tolist()
            shards = len(ends)
        chunks = self.rows.batches(where, chunk_lengths(ends, at_most=CHUNK_ROWS, whole=whole))
        threads = self._building.workers or cores()
        encode = functools.partial(encode_chunk, schema=schema, per_request=self._building.per_request)
        encoded = in_order(encode, chunks, threads=threads)
        done = 0
        written: list[Shard] = []
        with _bar(f"writing {name}", rows, self._building.progress) as bar:
            for shard, end in enumerate(ends):
                file = shard_name(split=name, shard=shard, shards=shards, compression=schema.compression)
                begin = done
                with open(self.aside / file, "wb") as output:
                    while done < end:
                        piece = next(encoded)
                        output.write(piece.content)
                        done += piece.examples
                        if piece.requests is not None:
                            self.requests.add(piece.requests)
                        bar.update(piece.examples)
                    size = output.tell()
                written.append(Shard(file=file, examples=done - begin, size=size))
        return Split(name=name, shards=tuple(written))


def shard_ends(rows: int, *, split: str, shards: int | None) -> list[int]:
    """After how many of its rows each shard of a split ends.

    Raises:
      ValueError: If the split has no rows.
    """
    if not rows:
        raise ValueError(f"The split {split!r} has no rows: leave it out, or change how rows are split.")
    shards = min(rows, shards or default_shards(rows))
    return [rows * (shard + 1) // shards for shard in range(shards)]


def default_shards(rows: int) -> int:
    """One file per 100,000 examples, but at least four for thousands, so that several workers can share them."""
    return max(-(-rows // 100_000), min(4, -(-rows // 1_000)))


def _check_sizes(schema: Schema) -> None:
    for feature in schema.tables:
        if feature.ids.size >= LARGEST_TABLE:
            raise SchemaError(
                f"Feature {feature.name!r} declares an embedding table of {feature.ids.size:,} rows "
                f"({feature.ids.size * 4 / 1e9:,.0f} GB for each of its dimensions), more than {LARGEST_TABLE - 1:,}: "
                "use an id map of kind vocabulary, or hash to fewer rows."
            )


def check_training_rows(rows: int) -> None:
    """Rejects a training split without rows.

    Raises:
      ValueError: If there are none.
    """
    if not rows:
        raise ValueError(f"The split {TRAIN!r} has no rows: there is nothing to write.")


def check_splits(splits: Collection[str], *, shards: int | None = None, workers: int | None = None) -> None:
    """Rejects names of splits that cannot be written, and numbers below 1.

    Raises:
      SchemaError: If there is no split `train`, or a name cannot be part of a file name.
      ValueError: If a number is below 1.
    """
    if TRAIN not in splits:
        raise SchemaError(f"A data set needs a split {TRAIN!r}. Received: {', '.join(splits) or 'none'}.")
    for name in splits:
        if not _SPLIT_NAME.fullmatch(name):
            raise SchemaError(f"The split name {name!r} cannot be part of a file name: use letters, digits and _.")
    for name, number in (("shards", shards), ("workers", workers)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1. Received: {number}.")


def _write_vocabularies(statistics: SplitStatistics, schema: Schema, directory: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for feature in schema.tables:
        if feature.ids.kind == "vocabulary":
            ids = statistics.vocabulary(feature)
            sizes[feature.name] = write_distinct_ids(ids, directory=directory, feature=feature.name)
    return sizes


def _bar(description: str, total: int | None, progress: bool) -> tqdm:
    return tqdm(
        total=total,
        desc=description,
        unit=" rows",
        unit_scale=True,
        mininterval=1,
        file=sys.stderr,
        disable=not progress,
    )
