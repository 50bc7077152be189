"""Counts the rows that could not be converted, and decides when there are too many of them."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

_SHOWN: Final = 2
_EARLY: Final = 10_000
"""Rows read before the share of bad ones is checked; with fewer, a single bad row could exceed the limit."""


class TooManyBadRowsError(ValueError):
    """More rows than allowed could not be converted."""


@dataclasses.dataclass
class BadRows:
    """How bad rows are handled, and how many there were.

    Attributes:
      on_bad_record: `fail` at the first one, or `skip` and count them.
      max_fraction: Share of bad rows above which the conversion fails even with `skip`.
      seen: Rows seen, including bad ones.
      skipped: Rows left out.
      rejects: File, number of the row or line, and message of each row left out.
    """

    on_bad_record: Literal["fail", "skip"] = "fail"
    max_fraction: float = 0.01
    seen: int = 0
    skipped: int = 0
    rejects: list[tuple[str, int, str]] = dataclasses.field(default_factory=list)

    @property
    def examples(self) -> list[str]:
        """Messages about the first few rows that were left out."""
        return [message for _, _, message in self.rejects[:_SHOWN]]

    def add(self, message: str, *, file: str = "", row: int = 0) -> None:
        """Counts a bad row, identified by its file and its number in that file.

        Raises:
          ValueError: With this message, if bad rows are not to be skipped.
        """
        if self.on_bad_record == "fail":
            raise ValueError(f"{message} (--on_bad_record=skip leaves such rows out.)")
        self.skipped += 1
        self.rejects.append((file, row, message))

    def saw(self, rows: int) -> None:
        """Counts rows that were read, and stops a conversion that skips too many.

        Raises:
          TooManyBadRowsError: If too large a share of many rows was bad.
        """
        self.seen += rows
        if self.seen >= _EARLY:
            self.check()

    def check(self) -> None:
        """Compares the share of bad rows with the limit.

        Raises:
          TooManyBadRowsError: If it is above.
        """
        if self.skipped > self.max_fraction * self.seen:
            raise TooManyBadRowsError(
                f"{self.skipped} of {self.seen} rows are bad, more than --max_bad_fraction={self.max_fraction:g} "
                f"allows. The first: {' '.join(self.examples)}"
            )

    def report(self) -> str:
        """One line for the user after a conversion that skipped rows; empty if it skipped none."""
        if not self.skipped:
            return ""
        rows = "row" if self.skipped == 1 else "rows"
        return f"Left out {self.skipped} bad {rows} of {self.seen}. The first: {' '.join(self.examples)}"
