r"""Vocabulary files: the known ids of a sparse feature, one per line, most frequent first.

The k-th line (from 0) is row k + 2 of the embedding table. It is plain text that can be read, cut and compared with
ordinary tools. A line that begins with `\x` is an id in hexadecimal, which is how an id with a line break is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.files.write_aside import file_aside
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.schema.features import TableOwner
from fullrank.data.schema.schema import Schema, SchemaError

FOLDER: Final = "vocabulary"
KNOWN_FROM: Final = 2
"""Row 0 of a table is for a missing id, row 1 for an id outside the map."""
_HEXADECIMAL: Final = b"\\x"
_LONGEST_NAME: Final = 160
"""Characters of a file name; most systems allow 255, and names of temporary files are longer."""


def vocabulary_path(directory: str | Path, *, feature: str) -> Path:
    """The path of a feature's vocabulary."""
    return Path(directory) / FOLDER / f"{part_of_file_name(feature)}.txt"


def part_of_file_name(name: str) -> str:
    """The name of a column as a part of a file name.

    Characters that a file name cannot hold are percent-encoded; a name that is too long for one ends in a digest.
    """
    encoded = quote(name, safe=" ")
    if len(encoded) > _LONGEST_NAME:
        encoded = f"{encoded[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return encoded


def storable(identity: int | bytes) -> bool:
    """Whether a vocabulary can hold an id, which must not be the mark of a missing value."""
    return identity != (MISSING_BYTES if isinstance(identity, bytes) else MISSING_INT)


def write_vocabulary(ids: Iterable[int | bytes], *, directory: str | Path, feature: str) -> Path:
    """Writes a vocabulary, whole or not at all.

    Args:
      ids: Known ids, most frequent first: all int or all bytes, without repetition.
      directory: The data set directory.
      feature: Name of the sparse feature that owns the table.

    Returns:
      The file written.

    Raises:
      ValueError: If an id means "missing" or occurs twice.
    """
    file = vocabulary_path(directory, feature=feature)
    seen: set[int | bytes] = set()
    with file_aside(file) as aside, open(aside, "wb") as output:
        for raw in ids:
            identity = raw if isinstance(raw, bytes) else int(raw)
            if not storable(identity):
                raise ValueError(
                    f"The vocabulary of feature {feature!r} cannot hold the id {identity!r}, which means a "
                    "missing value. Leave it out."
                )
            if identity in seen:
                raise ValueError(f"The vocabulary of feature {feature!r} was given the id {identity!r} twice.")
            seen.add(identity)
            output.write(_line(identity) + b"\n")
    return file


def write_distinct_ids(ids: Iterable[pa.Array], *, directory: str | Path, feature: str) -> int:
    """Writes a vocabulary of many ids, as `write_vocabulary` would.

    Args:
      ids: The ids in pieces, as int64 or binary arrays; none means "missing", and none occurs twice.
      directory: The data set directory.
      feature: Name of the sparse feature that owns the table.

    Returns:
      How many ids there are.
    """
    count = 0
    with file_aside(vocabulary_path(directory, feature=feature)) as aside, open(aside, "wb") as output:
        for piece in ids:
            output.writelines(_lines(piece))
            count += len(piece)
    return count


def _lines(ids: pa.Array) -> Iterator[bytes]:
    if not len(ids):
        return
    if pa.types.is_integer(ids.type):
        yield "\n".join(pc.cast(ids, pa.string()).to_pylist()).encode()
    else:
        spelled = pc.or_(pc.match_substring(ids, b"\n"), pc.starts_with(ids, _HEXADECIMAL))
        lines = ids.to_pylist()
        yield b"\n".join(map(_line, lines) if pc.any(spelled).as_py() else lines)
    yield b"\n"


def read_vocabulary(*, schema: Schema, feature: str) -> npt.NDArray[Any]:
    """Reads the known ids of a table.

    Args:
      schema: A schema that was read from a directory.
      feature: Name of a sparse feature, or of a column of behaviours with a table of its own; a feature that shares a
        table gets the vocabulary of that table.

    Returns:
      `[size]`, int64 or bytes objects, most frequent first.

    Raises:
      SchemaError: If the file is missing or damaged, or does not have the number of ids that the schema states.
    """
    owner = schema.table(feature)
    if owner.ids.kind != "vocabulary":
        raise SchemaError(f"Feature {feature!r} has an id map of kind {owner.ids.kind!r}, which needs no vocabulary.")
    if schema.directory is None:
        raise SchemaError(
            f"The vocabulary of feature {feature!r} is next to the records: read the schema by read_schema(directory)."
        )
    file = vocabulary_path(schema.directory, feature=owner.name)
    if not file.is_file():
        raise SchemaError(f"Feature {owner.name!r}: there is no vocabulary file {file}. Write the records again.")
    ids = _parsed(file, owner)
    if len(ids) != owner.ids.size:
        raise SchemaError(
            f"Vocabulary file {file} has {len(ids)} ids, but the schema says {owner.ids.size}: "
            "they belong to different runs of the conversion."
        )
    return ids


def _parsed(file: Path, owner: TableOwner) -> npt.NDArray[Any]:
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        raise SchemaError(f"Vocabulary file {file} does not end with a line break: it is cut off.")
    lines = content.split(b"\n")[:-1]
    ids: npt.NDArray[Any]
    if owner.dtype == "bytes":
        ids = np.array([_identity(line, file, number) for number, line in enumerate(lines, 1)], dtype=object)
        unusable = lines.index(MISSING_BYTES) if MISSING_BYTES in lines else None
    else:
        try:
            ids = np.array([int(line) for line in lines], dtype=np.int64)
        except (ValueError, OverflowError):
            number = next(i for i, line in enumerate(lines) if not _is_int64(line))
            raise SchemaError(
                f"Vocabulary file {file}, line {number + 1}: {lines[number][:40]!r} is not a 64-bit whole number."
            ) from None
        found = np.flatnonzero(ids == MISSING_INT)
        unusable = int(found[0]) if found.size else None
    if unusable is not None:
        raise SchemaError(f"Vocabulary file {file}, line {unusable + 1}: this id means a missing value.")
    if len(set(lines)) != len(lines):
        raise SchemaError(f"Vocabulary file {file} contains an id twice.")
    return ids


def _line(identity: int | bytes) -> bytes:
    if isinstance(identity, int):
        return b"%d" % identity
    return (
        _HEXADECIMAL + identity.hex().encode() if b"\n" in identity or identity.startswith(_HEXADECIMAL) else identity
    )


def _identity(line: bytes, file: Path, number: int) -> bytes:
    if not line.startswith(_HEXADECIMAL):
        return line
    try:
        return bytes.fromhex(line[len(_HEXADECIMAL) :].decode("ascii"))
    except ValueError:
        raise SchemaError(
            f"Vocabulary file {file}, line {number}: the text after \\x is not hexadecimal. Received: {line[:40]!r}."
        ) from None


def _is_int64(line: bytes) -> bool:
    try:
        return -(2**63) <= int(line) < 2**63
    except ValueError:
        return False


def read_vocabularies(schema: Schema) -> dict[str, npt.NDArray[Any]]:
    """The known ids of every table that has a vocabulary, by feature."""
    listed = [feature.name for feature in schema.tables if feature.ids.kind == "vocabulary"]
    return {name: read_vocabulary(schema=schema, feature=name) for name in listed}
