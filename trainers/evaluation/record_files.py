"""Record files without a schema.json of their own, described by the schema of a run."""

from __future__ import annotations

import dataclasses
import glob
import os
from pathlib import Path
from typing import Final, Literal

import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.reading.pipeline import INPUT_ERRORS
from fullrank.data.reading.read import read_records
from fullrank.data.reading.scan import scan_shard
from fullrank.data.records.bad_data import BadDataError
from fullrank.data.records.frames import read_frames
from fullrank.data.records.packing import HEADER
from fullrank.data.schema.schema import Schema, Shard, Split

FILES: Final = "files"
"""Name of the split that holds the files."""


def schema_of_files(pattern: str, *, trained: Schema) -> Schema:
    """Returns a schema whose only split is the files that match a pattern.

    Layout and compression are detected from the first file. Counting the examples also checks that every file can be
    read.

    Args:
      pattern: A path, or a pattern with `*`, `?` and `**`.
      trained: Schema of the run, which describes the columns.

    Raises:
      ValueError: If no file matches.
      BadDataError: If a file cannot be read, or holds other columns.
    """
    files = sorted(file for file in glob.glob(pattern, recursive=True) if os.path.isfile(file))
    if not files:
        raise ValueError(f"--input={pattern}: no such file. Quote a pattern, so that the shell does not expand it.")
    compression = _compression(files[0])
    schema = dataclasses.replace(
        trained, layout=_layout(files[0], compression, trained), compression=compression, directory=Path("/"), splits=()
    )
    shards = tuple(_counted(schema, os.path.abspath(file)) for file in files)
    return dataclasses.replace(schema, splits=(Split(name=FILES, shards=shards),))


def _compression(file: str) -> Literal["", "GZIP"]:
    with open(file, "rb") as opened:
        return "GZIP" if opened.read(2) == b"\x1f\x8b" else ""


def _layout(file: str, compression: str, trained: Schema) -> Literal["block", "example"]:
    first = next(read_frames(file, compression=compression), None)
    if first is None or first.data is None:
        return trained.layout
    try:
        example = tf.train.Example.FromString(first.data)
    except DecodeError:
        return trained.layout
    return "block" if HEADER in example.features.feature else "example"


def _counted(schema: Schema, file: str) -> Shard:
    size = os.path.getsize(file)
    if not size:
        return Shard(file=file, examples=0, size=0)
    # The reader leaves files without examples out, so until they are counted, each file is assumed to hold one.
    shard = Shard(file=file, examples=1, size=size)
    alone = dataclasses.replace(schema, splits=(Split(name=FILES, shards=(shard,)),))
    name = schema.columns[0].name
    try:
        batches = read_records(alone, split=FILES, batch_size=4096)
        examples = sum(int(batch[name].shape[0]) for batch in batches)
    except INPUT_ERRORS as error:
        problems = (problem for scanned in scan_shard(schema, shard) for problem in scanned.problems)
        raise BadDataError(str(next(problems, f"{file}: cannot be read: {error}"))) from error
    return dataclasses.replace(shard, examples=examples)
