"""The files of a split, with cheap checks before the first step is taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fullrank.data.records.bad_data import BadDataError, BadRecord
from fullrank.data.records.block_layout import decode_block
from fullrank.data.records.example_layout import ExampleError, check_has_columns
from fullrank.data.records.frames import read_frames
from fullrank.data.records.packing import BlockError, Packing
from fullrank.data.schema.schema import Schema, SchemaError, Shard
from fullrank.data.schema.value_rules import aligned_columns


def directory_of(schema: Schema) -> Path:
    """The directory of a schema's records.

    Raises:
      SchemaError: If the schema was not read from a directory.
    """
    if schema.directory is None:
        raise SchemaError(f"Schema {schema.name!r} was not read from a directory, so no records belong to it.")
    return schema.directory


def shards_of_worker(schema: Schema, *, split: str, worker: int, workers: int) -> tuple[Shard, ...]:
    """Selects the shards that one of several workers reads.

    Raises:
      ValueError: If there is no such worker, or fewer files than workers.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker counts from 0 to workers - 1. Received: worker={worker}, workers={workers}.")
    shards = schema.split(split).shards
    if len(shards) < workers:
        raise ValueError(
            f"Split {split!r} of {schema.name!r} has {len(shards)} files, too few for {workers} workers, because each "
            "worker reads files of its own. Write the records with more shards or use fewer workers."
        )
    return shards[worker::workers]


def with_shards(schema: Schema, *, split: str, shards: tuple[Shard, ...]) -> Schema:
    """Returns the schema with other shards in one split."""
    splits = [dataclasses.replace(part, shards=shards) if part.name == split else part for part in schema.splits]
    return dataclasses.replace(schema, splits=tuple(splits))


def check_file(path: Path, shard: Shard) -> None:
    """Checks what the file system knows about a shard.

    Raises:
      BadDataError: If there is no such file, or it is empty or of another size than when it was written.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadDataError(f"{path}: cannot read this shard: {error.strerror}.") from error
    if not path.is_file():
        raise BadDataError(f"{path}: this shard is not a file.")
    if shard.size is not None and size != shard.size:
        raise BadDataError(
            f"{path}: the file has {size} bytes, but {shard.size} were written: it is damaged or not of this data set."
        )
    if size == 0 and shard.examples > 0:
        raise BadDataError(f"{path}: the file is empty, but the schema says {shard.examples} examples.")


def check_first_record(path: Path, schema: Schema) -> Packing | None:
    """Checks that the first record of a shard is one of this schema.

    Returns:
      The layout of its blocks; `None` in the example layout or if there is no record.

    Raises:
      BadDataError: If it is damaged, of the other layout, or of another data set.
    """
    frame = next(read_frames(path, compression=schema.compression), None)
    if frame is None:
        return None
    if frame.data is None:
        raise BadDataError(str(BadRecord(file=str(path), record=0, reason=frame.reason)))
    try:
        if schema.layout == "example":
            check_has_columns(frame.data, schema_columns=schema.columns, left_out=schema.left_out)
            return None
        packing = decode_block(frame.data).packing
    except (ExampleError, BlockError) as error:
        bad = BadRecord(file=str(path), record=0, feature=error.feature, reason=error.reason, received=error.received)
        raise BadDataError(str(bad)) from error
    check_packing(packing, schema, path)
    return packing


def check_packing(packing: Packing, schema: Schema, path: Path) -> None:
    """Checks that blocks hold the columns of a schema; they may hold more.

    Raises:
      BadDataError: If a column is missing or of another kind.
    """
    lacking = packing.lacks(schema.columns)
    if lacking is not None:
        column, instead = lacking
        raise BadDataError(
            f"{path}: feature {column.name!r} is not here as the schema says ({column.form} {column.dtype}). "
            f"Received: {instead}. Do the schema and the file belong to the same data set?"
        )
    divided = packing.divides(aligned_columns(schema))
    if divided is not None:
        raise BadDataError(
            f"{path}: columns {', '.join(divided)} belong together, but only some of them are held once per request. "
            "Do the schema and the file belong to the same data set?"
        )


def check_split(schema: Schema, *, split: str) -> Packing | None:
    """Checks all files of a split as far as that is cheap.

    Returns:
      The layout of the blocks of every file; `None` in the example layout.

    Raises:
      BadDataError: If there is nothing to read, or a file cannot be one of this split.
    """
    directory = directory_of(schema)
    shards = [shard for shard in schema.split(split).shards if shard.examples]
    if not shards:
        raise BadDataError(f"{directory}: split {split!r} has no examples.")
    first: Packing | None = None
    for shard in shards:
        path = directory / shard.file
        check_file(path, shard)
        packing = check_first_record(path, schema)
        if first is not None and packing is not None and packing != first:
            raise BadDataError(f"{path}: its blocks hold other columns than those of {directory / shards[0].file}.")
        first = first or packing
    if first is None and schema.layout == "block":
        raise BadDataError(f"{directory}: no file of split {split!r} holds a record.")
    return first
