"""`tables.json`: where a saved model keeps its embedding tables, for programs that read them without its code.

It is in a run directory and in the assets of an exported model. One variable holds several tables, stacked by rows, and
a checkpoint does not record which.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

from fullrank.data.schema.json import from_json

FILE_NAME: Final = "tables.json"
_FORMAT: Final = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredTable:
    """One table: its rows `start` to `start + rows` of a variable."""

    name: str
    start: int
    rows: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableVariable:
    """A variable that holds tables.

    Attributes:
      variable: Its full name, without `:0`.
      set: The embedding set that it belongs to.
      width: Width of every row.
      tables: The tables in it.
      scales: Full name of the variable `[N, 1]` that its rows, of int8, are multiplied by; `None` for rows of floats.
    """

    variable: str
    set: str
    width: int
    tables: tuple[StoredTable, ...]
    scales: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossMatrix:
    """The matrix of an expert's first cross layer, which holds a projection for every pair of fields.

    Attributes:
      expert: Name of the expert.
      set: The embedding set that it reads.
      fields: Name of each field, in order.
      tables: The table of each field; `None` for a field without a table.
      scope: Prefix of the full names of the matrix `[F d, F d]`, or of its factors `[F d, r]` and `[r, F d]`. Keras
        numbers the layers below it anew in each process.
    """

    expert: str
    set: str
    fields: tuple[str, ...]
    tables: tuple[str | None, ...]
    scope: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableLayout:
    """All tables of a model, and the projections between its fields."""

    variables: tuple[TableVariable, ...]
    crosses: tuple[CrossMatrix, ...] = ()


def layout_json(layout: TableLayout) -> dict[str, Any]:
    """The content of `tables.json`."""
    return {"format": _FORMAT, **dataclasses.asdict(layout)}


def read_layout(file: Path) -> TableLayout:
    """Reads `tables.json`.

    Raises:
      ValueError: If it is not such a file.
      OSError: If it cannot be read.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            raise ValueError(f"it is not of format {_FORMAT}")
        layout: TableLayout = from_json(TableLayout, content, source="it")
        if any(table.start < 0 or table.rows < 1 for variable in layout.variables for table in variable.tables):
            raise ValueError("a table has no place")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{file} does not say where tables are ({error!r}): it is damaged, or is another file."
        ) from error
    return layout
