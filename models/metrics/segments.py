"""Assigns rows of state to the values of a segment, which become known only from the stream itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fullrank.data.files.printable import text_of
from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT
from fullrank.models.metrics.factorise import factorise

OTHER = "(other)"
MISSING = "(missing)"
"""The name of the rows that have no value: -1 or an empty string in records."""


class SegmentRows:
    """Assigns each distinct value of a segment a row of its own, in order of appearance, up to a limit.

    Row 0 collects the values that appear after the limit is reached. A batch's new values get rows in order of their
    frequency in that batch, so that in an unordered stream the frequent values get rows of their own; a value keeps its
    row, so every row's statistics are exact.

    Args:
        name: Name of the segment.
        max_values: Number of values with a row of their own, 1 to 65,535.

    Raises:
        ValueError: If `max_values` is out of range.
    """

    def __init__(self, *, name: str, max_values: int) -> None:
        if not 1 <= max_values < 2**16:
            raise ValueError(f"segment {name!r}: max_values lies in 1..65535; received {max_values}")
        self.name = name
        self._max_values = max_values
        self._rows: dict[int | bytes, int] = {}

    def __len__(self) -> int:
        """Number of rows in use, row 0 included."""
        return 1 + len(self._rows)

    def rows(self, *, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Returns the row of each value, `[B]`; makes rows for new values while there is room."""
        distinct, codes = factorise(values=values, column=self.name)
        self._admit(distinct, np.bincount(codes, minlength=len(distinct)))
        table = np.array([self._rows.get(value, 0) for value in distinct], np.int64)
        return table[codes] if distinct else codes

    def adopt(self, *, other: SegmentRows) -> npt.NDArray[np.int64]:
        """Makes rows for another stream's values; returns the row here of each row there, `[len(other)]`."""
        values = list(other._rows)
        self._admit(values, np.arange(len(values), 0, -1))
        return np.array([0, *(self._rows.get(value, 0) for value in values)], np.int64)

    def names(self) -> list[str]:
        """Returns each row's value as text, all different, row 0 first."""
        names = [OTHER]
        taken = {OTHER}
        for value in self._rows:
            text = segment_name(value)
            while text in taken:
                text += "'"
            taken.add(text)
            names.append(text)
        return names

    def _admit(self, values: list[int | bytes], counts: npt.NDArray[np.int64]) -> None:
        for place in np.argsort(-counts, kind="stable"):
            if len(self._rows) >= self._max_values:
                return
            self._rows.setdefault(values[place], len(self._rows) + 1)


def segment_name(value: int | bytes) -> str:
    """The value of a segment as text; `MISSING` where there is none."""
    if value in (MISSING_INT, MISSING_BYTES):
        return MISSING
    return text_of(value)
