"""Describes what is wrong with a file of records, and where."""

from __future__ import annotations

import dataclasses


class BadDataError(ValueError):
    """Records that cannot be read or hold values they must not hold; the message names the file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadRecord:
    """One thing wrong with a file.

    Attributes:
      file: Path of the file.
      reason: Description of the fault, without the value, so that equal reasons can be counted.
      record: Number of the record in the file, from 0; `None` for the file as a whole.
      row: Row within a block, from 0; `None` for the whole record.
      feature: The column at fault, if it is one.
      received: The value found, as text.
    """

    file: str
    reason: str
    record: int | None = None
    row: int | None = None
    feature: str | None = None
    received: str = ""

    def __str__(self) -> str:
        """One line: file, record, row, feature, reason, value."""
        place = [self.file]
        if self.record is not None:
            place.append(f"record {self.record}")
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.feature is not None:
            place.append(f"feature {self.feature!r}")
        received = f" Received: {self.received}." if self.received else ""
        return f"{', '.join(place)}: {self.reason}.{received}"
