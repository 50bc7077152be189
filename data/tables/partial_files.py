"""Says which of several files lack a column that others have, whose rows it is missing in."""

from __future__ import annotations

from collections.abc import Collection

from fullrank.data.files.printable import closest
from fullrank.data.tables.files import TableFiles


def partial_files(files: TableFiles, *, wanted: Collection[str] | None = None) -> list[str]:
    """A line for the files of the same columns that lack one of another file; none if all files have the same.

    Args:
      files: The files.
      wanted: The columns that count; `None` for all.
    """
    parts = list(files.parts())
    known = [name for name in files.names if wanted is None or name in wanted]
    lines = []
    for part in parts:
        lacks = [name for name in known if name not in part.columns]
        if not lacks:
            continue
        others = {name for other in parts if other is not part for name in other.columns}
        own = [name for name in part.columns if name not in others]
        meant = closest(lacks[0], own)
        hint = f" Is {meant!r}, which no other file has, {lacks[0]!r}?" if meant else ""
        more = f" (and {len(part.files) - 1} more like it)" if part.files[1:] else ""
        lines.append(
            f"{part.files[0]}{more}: there is no column {', '.join(lacks)}, so it is missing in all rows.{hint}"
        )
    return lines
