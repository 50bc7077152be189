"""Tables as a conversion stages them, for tests that look at their rows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fullrank import data
from fullrank.data.files.find_files import find_files
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.tables.database import open_database
from fullrank.data.tables.files import Dialect, TableFiles
from fullrank.data.tables.staged_rows import StagedRows

XY = data.Schema(
    name="xy",
    features=(data.Sparse(name="x"), data.Sparse(name="y", dtype="bytes")),
    labels=(data.Label(name="click"),),
)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextlib.contextmanager
def staged(
    directory: Path,
    *patterns: str,
    schema: data.Schema = XY,
    bad_rows: BadRows | None = None,
    dialect: Dialect | None = None,
    **given: Any,
) -> Iterator[StagedRows]:
    """The rows of files, staged; each pattern is a source."""
    files = [find_files(f"{directory}/{pattern}") for pattern in patterns]
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_database(Path(scratch), threads=2, readable=[file for found in files for file in found]) as connection,
    ):
        given = {"optional": {"click"}, **given}
        rows = StagedRows(connection, schema=schema, bad_rows=BadRows() if bad_rows is None else bad_rows, **given)
        for pattern, found in zip(patterns, files, strict=True):
            own = TableFiles(connection, found, dialect=dialect or Dialect(), directory=Path(scratch))
            rows.add_files(pattern, own)
        yield rows
