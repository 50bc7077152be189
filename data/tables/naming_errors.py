"""Adds the name of a file to errors of Arrow and DuckDB about it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa


class naming_errors:  # noqa: N801 - used as a statement
    """Turns Arrow's errors in the block into a `ValueError` that names the file, except `FileNotFoundError`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (pa.ArrowException, EOFError)) or (isinstance(error, OSError) and error.errno is None):
            raise ValueError(f"{self._file}: cannot be read: {error}") from error


def unreadable(file: Path, error: Exception) -> ValueError:
    """An error that names the file and holds the first line of DuckDB's message about it."""
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ValueError(f"{file}: cannot be read: {first.removeprefix('Invalid Input Error: ').strip()}")
