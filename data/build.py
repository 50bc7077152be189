"""Writes a data set directory: statistics and vocabularies of the training split, then the shards of every split."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
from tqdm import tqdm

from fullrank.data.bad_rows import BadRows
from fullrank.data.chunks import cut, to_bytes
from fullrank.data.encode_chunk import Work, encode_chunk, summarise_chunk
from fullrank.data.ordered_pool import OrderedPool
from fullrank.data.schema import Schema, SchemaError, Shard, Split
from fullrank.data.schema_json import FILE_NAME, write_schema
from fullrank.data.shard_name import shard_name
from fullrank.data.statistics import SplitStatistics
from fullrank.data.vocabulary import storable, write_vocabulary
from fullrank.data.write_aside import written_aside

TRAIN: Final = "train"
CHUNK_ROWS: Final = 8_000
"""Rows that are converted at a time: whole blocks, small enough for many processes and little memory."""
_SPLIT_NAME: Final = re.compile(r"[A-Za-z0-9_]+")

Rows = Callable[[], Iterable[pa.RecordBatch]]
"""Starts a pass over the rows of a split. It may have an attribute `rows`, their number, to save a pass that counts."""


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
    list_delimiter: str = "|",
    bad_rows: BadRows | None = None,
    max_distinct_in_memory: int = 5_000_000,
) -> Schema:
    """Converts tables to records and returns the finished schema, which is also in `output/schema.json`.

    The first pass reads the training split and counts: statistics, label means, vocabularies. The second reads every
    split and writes it. Vocabularies and statistics know the training split only. Examples keep the order of the rows,
    and shards are contiguous runs of equal length. The result does not depend on the number of workers. `output`
    appears as a whole at the end; until then everything lies in a sibling directory.

    Args:
      splits: Split name to a function that starts a pass over its rows, in order; it has to give the same rows each
        time. `train` must be among them.
      schema: What to convert; its statistics, vocabulary sizes and splits are filled in.
      output: Directory to write.
      layout: `block` or `example`; `None` for the schema's.
      compression: `""` or `"GZIP"`; `None` for the schema's.
      shards: Files a split; `None` for `default_shards`.
      workers: Processes that convert and encode; 1 for none beside this one, `None` for the number of cores if there
        is enough to do.
      overwrite: Whether a data set in `output` is replaced.
      progress: Whether to show progress bars.
      list_delimiter: What separates the values of a list in a column of text.
      bad_rows: What to do about rows that cannot be converted, and where they are counted; `None` fails at the first.
      max_distinct_in_memory: Distinct ids, over all columns, that are counted in memory before counts go to disk.

    Returns:
      The schema with splits, statistics and vocabulary sizes; its directory is `output`.

    Raises:
      FileExistsError: If `output` exists and may not be replaced.
      SchemaError: If `splits` has no `train` or a name that cannot be part of a file name.
      ValueError: If a row cannot be converted and bad rows are not skipped; the message names file, row and column.
    """
    _check(splits, shards)
    schema = dataclasses.replace(
        schema,
        layout=schema.layout if layout is None else layout,
        compression=schema.compression if compression is None else compression,
        splits=(),
        directory=None,
    )
    work = Work(schema=schema, list_delimiter=list_delimiter)
    bad_rows = BadRows() if bad_rows is None else bad_rows
    output = Path(output)
    with (
        written_aside(output, overwrite=overwrite, made_of=FILE_NAME) as aside,
        OrderedPool(workers) as pool,
        tempfile.TemporaryDirectory(dir=aside, prefix="counts-") as counts,
    ):
        statistics = SplitStatistics(schema, directory=Path(counts), max_distinct_in_memory=max_distinct_in_memory)
        rows = {TRAIN: _count(splits[TRAIN], statistics, work, pool, bad_rows.again(), progress)}
        rows |= {name: _rows(source) for name, source in splits.items() if name != TRAIN}
        fitted = statistics.fitted(_write_vocabularies(statistics, schema, aside))
        writer = _SplitWriter(aside, work=work, pool=pool, bad_rows=bad_rows, shards=shards, progress=progress)
        written = tuple(writer.write(name, source, rows[name]) for name, source in splits.items())
        bad_rows.check()
        fitted = dataclasses.replace(fitted, splits=written)
        write_schema(fitted, aside)
    return dataclasses.replace(fitted, directory=output)


def default_shards(rows: int) -> int:
    """One file per 100,000 examples, but four where there are thousands, so that several workers can share them."""
    return max(-(-rows // 100_000), min(4, -(-rows // 1_000)))


def _check(splits: Mapping[str, Rows], shards: int | None) -> None:
    if TRAIN not in splits:
        raise SchemaError(f"A data set needs a split {TRAIN!r}. Received: {', '.join(splits) or 'none'}.")
    for name in splits:
        if not _SPLIT_NAME.fullmatch(name):
            raise SchemaError(f"The split name {name!r} cannot be part of a file name: use letters, digits and _.")
    if shards is not None and shards < 1:
        raise ValueError(f"shards must be at least 1. Received: {shards}.")


def _count(
    source: Rows, statistics: SplitStatistics, work: Work, pool: OrderedPool, bad_rows: BadRows, progress: bool
) -> int:
    seen = 0
    with _bar(f"counting {TRAIN}", getattr(source, "rows", None), progress) as bar:
        chunks = cut(source(), itertools.repeat(CHUNK_ROWS), schema=work.schema)
        summarised = pool.map(functools.partial(summarise_chunk, work=work), chunks, pack=to_bytes)
        for summary, bad in summarised:
            for cell in bad:
                bad_rows.add(cell.message)
            statistics.add(summary)
            rows = summary.rows + len(bad)
            bad_rows.saw(rows)
            bar.update(rows)
            seen += rows
    bad_rows.check()
    if not statistics.rows:
        raise ValueError(f"The split {TRAIN!r} has no rows: there is nothing to write.")
    return seen


def _write_vocabularies(statistics: SplitStatistics, schema: Schema, directory: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for feature in schema.tables:
        if feature.ids.kind == "vocabulary":
            counted = _Counted(identity for identity in statistics.vocabulary(feature) if storable(identity))
            write_vocabulary(counted, directory=directory, feature=feature.name)
            sizes[feature.name] = counted.count
    return sizes


class _Counted:
    """Passes ids on and counts them."""

    def __init__(self, ids: Iterable[int | bytes]) -> None:
        self._ids = ids
        self.count = 0

    def __iter__(self) -> Iterator[int | bytes]:
        for identity in self._ids:
            self.count += 1
            yield identity


class _SplitWriter:
    """Writes the shards of split after split."""

    def __init__(
        self,
        directory: Path,
        *,
        work: Work,
        pool: OrderedPool,
        bad_rows: BadRows,
        shards: int | None,
        progress: bool,
    ) -> None:
        self._directory = directory
        self._work = work
        self._pool = pool
        self._bad_rows = bad_rows
        self._shards = shards
        self._progress = progress

    def write(self, name: str, source: Rows, rows: int) -> Split:
        if not rows:
            raise ValueError(f"The split {name!r} has no rows: leave it out, or change how rows are split.")
        shards = min(rows, self._shards or default_shards(rows))
        ends = [rows * (shard + 1) // shards for shard in range(shards)]
        chunks = cut(source(), _chunk_lengths(ends), schema=self._work.schema)
        encoded = self._pool.map(functools.partial(encode_chunk, work=self._work), chunks, pack=to_bytes)
        done = 0
        written: list[Shard] = []
        with _bar(f"writing {name}", rows, self._progress) as bar:
            for shard, end in enumerate(ends):
                file = shard_name(split=name, shard=shard, shards=shards, compression=self._work.schema.compression)
                examples = 0
                with open(self._directory / file, "wb") as output:
                    while done < end:
                        piece = next(encoded, None)
                        if piece is None:
                            raise ValueError(f"Split {name!r} had {rows} rows when counted, but {done} when written.")
                        output.write(piece.content)
                        for cell in piece.bad:
                            self._bad_rows.add(cell.message)
                        self._bad_rows.saw(piece.rows)
                        done += piece.rows
                        examples += piece.examples
                        bar.update(piece.rows)
                    size = output.tell()
                written.append(Shard(file=file, examples=examples, size=size))
            if next(encoded, None) is not None:
                raise ValueError(f"Split {name!r} had {rows} rows when counted, but more when written.")
        return Split(name=name, shards=tuple(written))


def _rows(source: Rows) -> int:
    known: int | None = getattr(source, "rows", None)
    return sum(batch.num_rows for batch in source()) if known is None else known


def _chunk_lengths(ends: list[int]) -> Iterator[int]:
    """Lengths of chunks such that none reaches over the end of a shard."""
    done = 0
    for end in ends:
        while done < end:
            length = min(CHUNK_ROWS, end - done)
            yield length
            done += length


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
