"""What a reader of tables can add to every row beside what its files hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import pyarrow as pa


class AddedColumns(Protocol):
    """Columns that follow from those a file has: of a joined table, or counted over all rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are added."""

    @property
    def key(self) -> str:
        """The column that has to be read for them."""

    def check(self, names: Collection[str], *, source: str) -> None:
        """Refuses a table with these columns if it lacks the key or has one of the added columns already."""

    def add(self, batch: pa.RecordBatch, columns: Collection[str] | None = None) -> pa.RecordBatch:
        """The rows with those of `columns` that this adds; `None` for all of them."""
