"""The files that a pattern names, and what kind of table each holds."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

Format = Literal["csv", "parquet", "arrow", "json", "libsvm", "example"]

_FORMATS: Final[dict[str, Format]] = {
    **{".csv": "csv", ".tsv": "csv", ".txt": "csv"},
    **{".parquet": "parquet", ".pq": "parquet"},
    **{".arrow": "arrow", ".feather": "arrow"},
    **{".jsonl": "json", ".ndjson": "json"},
    **{".libsvm": "libsvm", ".svm": "libsvm", ".libfm": "libsvm"},
    **{".tfrecord": "example", ".tfrecords": "example"},
}
COMPRESSED: Final = (".gz", ".bz2", ".zst")
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def find_files(pattern: str) -> tuple[Path, ...]:
    """The files that a pattern such as `clicks/*.parquet` names, sorted; several patterns are separated by commas.

    A file that several of them name is listed once, where it is named first.

    Raises:
      FileNotFoundError: If a part matches no file.
      ValueError: If a file's suffix is not that of a table.
    """
    files: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in pattern.split(","))):
        found = sorted(Path(name) for name in glob.glob(os.path.expanduser(part), recursive=True))
        if len(found) == 1 and found[0].is_dir():
            raise FileNotFoundError(
                f"{part!r} is a directory: name its files, for example '{part.rstrip('/')}/*.parquet'."
            )
        found = [file for file in found if not file.is_dir()]
        if not found:
            raise FileNotFoundError(f"No file matches {part!r}.")
        for file in found:
            files.setdefault(os.path.abspath(file), file)
    for file in files.values():
        format_of(file)
    if not files:
        raise FileNotFoundError("No input file was named.")
    return tuple(files.values())


def ending(file: Path) -> str:
    """The suffix of a file's name, ignoring that of a compression."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def holds_table(file: Path) -> bool:
    """Whether a file's name can only be that of a table; `.tfrecord` files may also be records of a data set."""
    return _FORMATS.get(ending(file), "example") != "example"


def format_of(file: Path) -> Format:
    """The kind of table in a file, judged by its name.

    Raises:
      ValueError: If the name has no known suffix.
    """
    found = _FORMATS.get(ending(file))
    packed = file.suffix.lower() in COMPRESSED
    whole = packed and (found in ("parquet", "arrow") or (found == "example" and file.suffix.lower() != ".gz"))
    if found is None or whole:
        raise ValueError(
            f"{file}: the name must end in .csv, .tsv, .txt, .jsonl, .ndjson, .libsvm, .svm or .libfm (also with .gz, "
            ".bz2 or .zst), in .tfrecord or .tfrecords (also with .gz), or in .parquet, .pq, .arrow or .feather."
        )
    return found


def partition_of(file: Path) -> dict[str, str | None]:
    """The columns that the folders of a file name, as Hive writes them: `topic=a%2Fb` -> `{"topic": "a/b"}`."""
    named = (part.split("=", 1) for part in file.parts[:-1] if "=" in part.strip("="))
    return {unquote(name): None if value == _NO_VALUE else unquote(value) for name, value in named}
