"""Finds the bad record, after the input pipeline has failed or before it is used."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Iterable, Iterator

from fullrank.data.reading.scan import QuickLook, scan_shard
from fullrank.data.records.bad_data import BadDataError, BadRecord
from fullrank.data.records.shard_files import directory_of
from fullrank.data.schema.schema import Schema, Shard


def bad_shards(look: QuickLook, shards: Iterable[Shard]) -> Iterator[tuple[Shard, bool]]:
    """Checks many shards quickly at once; yields each, in order, and whether it is bad."""
    shards = tuple(shards)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        futures = [pool.submit(look, shard) for shard in shards]
        try:
            for shard, future in zip(shards, futures, strict=True):
                yield shard, not future.result()
        finally:
            for future in futures:
                future.cancel()


def verify(schema: Schema, *, splits: Iterable[str] | None = None) -> Iterator[BadRecord]:
    """Looks through records and yields everything that is wrong with them.

    Good files are read at the speed of training; bad ones are then scanned record by record.

    Args:
      schema: A schema that was read from a directory.
      splits: Names of splits; `None` for all.
    """
    look = QuickLook(schema)
    for name in splits if splits is not None else [split.name for split in schema.splits]:
        for shard, bad in bad_shards(look, schema.split(name).shards):
            if bad:
                yield from shard_problems(schema, shard)


def shard_problems(schema: Schema, shard: Shard) -> Iterator[BadRecord]:
    """Yields every problem of a shard that failed the quick check."""
    examples, wrong = 0, False
    for scanned in scan_shard(schema, shard):
        examples += scanned.examples
        wrong = wrong or bool(scanned.problems)
        yield from scanned.problems
    if not wrong or examples > shard.examples:
        yield count_problem(schema, shard, examples)


def count_problem(schema: Schema, shard: Shard, examples: int) -> BadRecord:
    """Describes a file whose records are good but differ in number from what the schema says."""
    reason = f"the schema says {shard.examples} examples, so the file may be from another run of the conversion"
    return BadRecord(file=str(directory_of(schema) / shard.file), reason=reason, received=str(examples))


def diagnose(schema: Schema, *, split: str) -> BadRecord | None:
    """The first thing that is wrong with a split; `None` if nothing is.

    Args:
      schema: A schema that was read from a directory.
      split: Name of the split.
    """
    return next(verify(schema, splits=[split]), None)


def explain(error: Exception, *, schema: Schema, split: str) -> BadDataError:
    """Turns an error of the input pipeline into one that names file, record and feature, by reading the split again.

    Args:
      error: Raised while a dataset of `read_records` was used: one of `pipeline.INPUT_ERRORS`.
      schema: Schema of the data that was read.
      split: Name of the split.

    Returns:
      The error to raise instead. If nothing is wrong with the records, its message says so and repeats the first line
      of the original one.
    """
    if isinstance(error, BadDataError):
        return error
    found = diagnose(schema, split=split)
    if found is None:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        return BadDataError(
            f"Reading split {split!r} of {directory_of(schema)} failed, but no bad record was found in it: {first_line}"
        )
    return BadDataError(f"{found} Leave bad records out with on_bad_record=skip.")
