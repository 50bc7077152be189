"""Step 4, the numbers: moments of the training split, as if all its rows were read in one go.

The local conversion adds chunks of `CHUNK_ROWS` rows one after the other, and sums of floating-point numbers depend on
that. So each file states its whole chunks by their sums, and the numbers of chunks that it shares with other files.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.beam.count import Places
from fullrank.data.beam.divide import Division
from fullrank.data.beam.job import Job, packed, read_arrow, unpacked, write_arrow
from fullrank.data.tables.arrow_columns import column_batch
from fullrank.data.writing.build import CHUNK_ROWS, TRAIN
from fullrank.data.writing.statistics import Moments, Piece, SplitStatistics, names_of_numbers, piece_of

NUMBERS: Final = "numbers"
_PIECES: Final = pa.schema(
    [
        *(("column", pa.string()), ("chunk", pa.int64()), ("size", pa.int64()), ("mean", pa.float64())),
        *(("squares", pa.float64()), ("positive", pa.int64()), ("minimum", pa.float64()), ("maximum", pa.float64())),
        ("values", pa.list_(pa.float32())),
    ]
)


def number_file(number: int, job: Job, division: Division, places: Places) -> Iterator[tuple[str, bytes]]:
    """Writes the sums of the numbers of a file, and returns the sample of each column, to be joined with others."""
    names = names_of_numbers(job.schema)
    before = places.numbers[number]
    kept = {name: Moments(seed=seed, before=before[name]) for seed, name in enumerate(names)}
    first = places.rows[number][TRAIN]
    found: list[dict[str, Any]] = []
    with job.whole_rows(number) as rows:
        train = division.splits(rows, number, job)[TRAIN]
        statistics = SplitStatistics(rows, train)
        lengths = itertools.chain([CHUNK_ROWS - first % CHUNK_ROWS], itertools.repeat(CHUNK_ROWS))
        done = first
        for chunk in rows.batches(train, lengths, columns=statistics.columns):
            for name, values in statistics.numbers(column_batch(chunk, job.schema, columns=statistics.columns)):
                if not len(values):
                    continue
                kept[name].add(values)
                whole = chunk.num_rows == CHUNK_ROWS
                own = piece_of(values)._asdict() if whole else {"values": values}
                found.append({"column": name, "chunk": done // CHUNK_ROWS, **own})
            done += chunk.num_rows
    table = pa.Table.from_pylist(found, schema=_PIECES)
    write_arrow(job.place(number, f"{NUMBERS}.arrow"), table.schema, table.to_batches())
    for name, moments in kept.items():
        if moments.count:
            yield name, _packed_sample(*moments.sample())


def joined_samples(samples: Iterable[bytes]) -> bytes:
    """The sample of the numbers of several files."""
    moments = Moments(seed=0)
    found = [each for each in samples if each]
    for each in found:
        moments.keep(*_sample(each))
    return _packed_sample(*moments.sample()) if found else b""


def keep_sample(sampled: tuple[str, bytes], job: Job) -> None:
    """Writes the sample of a column."""
    name, content = sampled
    table = unpacked(content)
    write_arrow(_sample_file(job, name), table.schema, table.to_batches())


def merged_numbers(job: Job) -> Mapping[str, Moments]:
    """The moments of all columns, from what the files state."""
    names = names_of_numbers(job.schema)
    merged = {name: Moments(seed=seed) for seed, name in enumerate(names)}
    shared: dict[str, tuple[int, list[npt.NDArray[np.float32]]]] = {}

    def add_shared(name: str, chunk: int | None) -> None:
        """Adds the numbers of a chunk of several files once another one begins."""
        if name in shared and shared[name][0] != chunk:
            merged[name].add_piece(piece_of(np.concatenate(shared.pop(name)[1])))

    for number in range(len(job.files)):
        for row in read_arrow(job.place(number, f"{NUMBERS}.arrow")).to_pylist():
            name, chunk, values = row.pop("column"), row.pop("chunk"), row.pop("values")
            add_shared(name, chunk)
            if values is None:
                merged[name].add_piece(Piece(**row))
            else:
                shared.setdefault(name, (chunk, []))[1].append(np.array(values, np.float32))
    for name in names:
        add_shared(name, None)
        if merged[name].count:
            merged[name].keep(*_sample_of(read_arrow(_sample_file(job, name))))
    return merged


def _sample_file(job: Job, name: str) -> Path:
    return Path(job.scratch) / "samples" / f"{names_of_numbers(job.schema).index(name)}.arrow"


def _packed_sample(values: npt.NDArray[np.float32], priorities: npt.NDArray[np.float64]) -> bytes:
    return packed(pa.table({"value": values, "priority": priorities}))


def _sample(content: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    return _sample_of(unpacked(content))


def _sample_of(table: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    return table["value"].to_numpy(), table["priority"].to_numpy()
