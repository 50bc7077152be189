"""Tells whether a data set is still the one that a run began with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fullrank.data.schema import Schema


def data_fingerprint(schema: Schema) -> str:
    """A digest of the schema, of the vocabularies, and of the name and size of every shard.

    The shards' bytes are not read: that would take as long as a pass over the data, and shards are only written whole.

    Raises:
      ValueError: If a file that the schema names is not there.
    """
    directory = schema.directory
    if directory is None:
        raise ValueError(f"Schema {schema.name!r} was not read from a directory, so its records cannot be compared.")
    digest = hashlib.sha256((directory / "schema.json").read_bytes())
    for file in sorted((directory / "vocabulary").glob("*.txt")):
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    for split in schema.splits:
        for shard in split.shards:
            digest.update(f"{shard.file} {_size(directory / shard.file)}\n".encode())
    return digest.hexdigest()[:32]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError as error:
        raise ValueError(f"{file} is not there, but the schema beside it names it: write the records again.") from error
