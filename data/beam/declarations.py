"""What a schema takes from earlier rows, divided into parts that each need the rows of one key only."""

from __future__ import annotations

import dataclasses

from fullrank.data.command.errors import UsageError
from fullrank.data.schema.reading import History, Past, Reading
from fullrank.data.schema.schema import Schema
from fullrank.data.tables.history_rows import add_history, check_history
from fullrank.data.tables.past_rows import add_past, check_past
from fullrank.data.tables.staged_rows import StagedRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declaration:
    """A history, or all numbers of the past that are grouped by the same columns.

    Attributes:
      history: The history; `None` for numbers.
      past: The numbers.
    """

    history: History | None = None
    past: tuple[Past, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """Columns that a row and its earlier rows have in common."""
        return self.past[0].by if self.history is None else (self.history.key,)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that are filled."""
        return tuple(each.name for each in self.past) if self.history is None else self.history.names

    @property
    def read(self) -> tuple[str, ...]:
        """Columns that are read, apart from the time."""
        if self.history is None:
            of = [each.of for each in self.past if each.of is not None]
        else:
            of = [each.of for each in self.history.lists]
            of += [] if self.history.where is None else [self.history.where]
        return tuple(dict.fromkeys((*self.by, *of)))

    def fill(self, rows: StagedRows) -> None:
        """Fills the columns of all rows that have one of the keys, by the rule of the local conversion."""
        if self.history is None:
            add_past(rows, declared=self.past)
        else:
            add_history(rows, self.history, name="history")


def declarations(schema: Schema) -> tuple[Declaration, ...]:
    """The declarations of a schema."""
    reading = schema.reading or Reading()
    keys = dict.fromkeys(past.by for past in reading.past)
    together = [tuple(past for past in reading.past if past.by == by) for by in keys]
    return (
        *(Declaration(history=history) for history in reading.histories),
        *(Declaration(past=past) for past in together),
    )


def check_declarations(schema: Schema) -> None:
    """Rejects declarations that do not fit the schema, and those that need all earlier rows in one place.

    Raises:
      SchemaError: If one does not fit the schema.
      UsageError: If one has no key.
    """
    reading = schema.reading or Reading()
    for history in reading.histories:
        check_history(history, schema)
    for past in reading.past:
        check_past(past, schema)
        if not past.by or past.smoothing:
            what = "is smoothed towards the rate of" if past.smoothing else "is computed from"
            raise UsageError(
                f"--runner cannot fill {past.name!r}: it {what} all earlier rows, which no key divides among workers. "
                "Convert without --runner, or leave it out."
            )
