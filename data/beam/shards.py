"""Step 4, the records: rows go to the shards in which the local conversion would write them, in the same order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from fullrank.data.beam.count import Places
from fullrank.data.beam.divide import Division
from fullrank.data.beam.job import Job, packed, unpacked
from fullrank.data.files.write_aside import file_aside
from fullrank.data.records.frames import shard_name
from fullrank.data.schema.schema import Shard, Split
from fullrank.data.tables.staged_rows import cut
from fullrank.data.writing.build import CHUNK_ROWS
from fullrank.data.writing.encode_chunk import encode_chunk
from fullrank.data.writing.request_counts import chunk_lengths

Ends = Mapping[str, tuple[int, ...]]
"""Split -> after how many of its rows each shard ends."""


def rows_of_shards(
    number: int, job: Job, division: Division, places: Places, ends: Ends
) -> Iterator[tuple[tuple[str, int], tuple[int, bytes]]]:
    """Returns the rows of a file by split and shard, each piece with the place of its first row in the split."""
    with job.whole_rows(number) as rows:
        for name, where in division.splits(rows, number, job).items():
            done = places.rows[number][name]
            shards = ends[name]
            left = [end - done for end in shards if end > done]
            lengths = itertools.chain.from_iterable(
                chunk_lengths([end], at_most=CHUNK_ROWS) for end in np.diff(left, prepend=0).tolist()
            )
            for batch in rows.batches(where, lengths):
                shard = int(np.searchsorted(shards, done, side="right"))
                yield (name, shard), (done, packed(pa.Table.from_batches([batch])))
                done += batch.num_rows


def write_shard(grouped: tuple[tuple[str, int], Iterable[tuple[int, bytes]]], job: Job, ends: Ends) -> None:
    """Writes one shard, whole or not at all."""
    (name, shard), pieces = grouped
    begin = ends[name][shard - 1] if shard else 0
    ordered = sorted(pieces, key=lambda piece: piece[0])
    batches = (batch for _, content in ordered for batch in unpacked(content).to_batches())
    lengths = chunk_lengths([ends[name][shard] - begin], at_most=CHUNK_ROWS)
    with file_aside(_file(job, name, shard, ends)) as aside, open(aside, "wb") as output:
        for batch in cut(batches, lengths):
            output.write(encode_chunk(batch, schema=job.schema).content)


def written_splits(job: Job, ends: Ends) -> tuple[Split, ...]:
    """The splits as the schema describes them."""
    return tuple(
        Split(
            name=name,
            shards=tuple(
                Shard(file=file.name, examples=end - begin, size=file.stat().st_size)
                for begin, end, file in zip(
                    (0, *own), own, (_file(job, name, shard, ends) for shard in range(len(own))), strict=False
                )
            ),
        )
        for name, own in ends.items()
    )


def _file(job: Job, name: str, shard: int, ends: Ends) -> Path:
    file = shard_name(split=name, shard=shard, shards=len(ends[name]), compression=job.schema.compression)
    return Path(job.output) / file
