"""The interface of a source of events, and the reader of its blocks, which counts what cannot be used."""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol

import numpy as np

from fullrank.data.events.event_columns import CLICK, CONVERTED, EVENT_COLUMNS, ID, KIND, TIME, UNIT, Events, as_batch
from fullrank.data.files.printable import printable
from fullrank.data.records.block_layout import decode_block
from fullrank.data.records.packing import BlockError
from fullrank.data.schema.ragged import Ragged, take_rows
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import aligned_columns, value_rules, violations

Position = dict[str, Any]
"""The position of a source, as JSON values."""
PROBLEMS: Final = (
    "damaged_records", "bad_values", "unknown_kinds", "cut_off_files", "removed_files", "late_files", "source_errors",
)  # fmt: skip


class EventSource(Protocol):
    """Events in the order in which they are to be trained on."""

    @property
    def ended(self) -> bool:
        """Whether there will never be another event."""

    @property
    def problems(self) -> dict[str, int]:
        """Number of problems of each kind since the first event."""

    def read(self) -> Events | None:
        """The next events, at most a few thousand; `None` if there are none now."""

    def position(self) -> Position:
        """The place of the next event, for `seek` in another process."""

    def seek(self, position: Position) -> None:
        """Continues at the position of another process."""


class BlockReader:
    """Turns blocks into events, and counts what cannot be used; the first problem of each kind is reported.

    Args:
      schema: Schema of the stream.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._wanted = (*schema.columns, *EVENT_COLUMNS)
        self._rules, self._aligned = value_rules(schema), aligned_columns(schema)
        self.problems = dict.fromkeys(PROBLEMS, 0)

    def events(self, block: bytes, *, place: str) -> Events | None:
        """The events of a block; `None` if it is damaged, which is counted."""
        try:
            packing, columns, sizes = decode_block(block)
            if sizes is not None:
                raise BlockError("a block of requests, which holds no events")
            lacking = packing.lacks(self._wanted)
            if lacking is not None:
                raise BlockError(f"no column {lacking[0].name!r} as the schema of the stream has it")
        except BlockError as error:
            self.count("damaged_records", 1, f"{place}: {error.reason}")
            return None
        kinds = _whole(columns[KIND])
        known = (kinds >= 0) & (kinds <= CONVERTED)
        self.count("unknown_kinds", int((~known).sum()), f"{place}: an event of a kind other than 0, 1 and 2")
        bad = {wrong.row for wrong in violations(columns, self._rules, aligned=self._aligned)}
        if bad:
            first = next(violations(columns, self._rules, aligned=self._aligned))
            self.count("bad_values", len(bad), f"{place}, row {first.row}: column {first.column!r}: {first.reason}")
            known[sorted(bad)] = False
        if not known.all():
            columns = take_rows(columns, np.flatnonzero(known))
        times = _whole(columns[TIME]).astype(np.float64) / UNIT[self._schema.time_unit]
        batch = as_batch(columns, schema=self._schema)
        return Events(_whole(columns[ID]), _whole(columns[KIND]), times, _whole(columns[CLICK]), batch)

    def count(self, problem: str, number: int, message: str) -> None:
        """Counts a problem, and reports it if it is the first of its kind."""
        if number and not self.problems[problem]:
            print(f"warning: {problem}: {printable(message)}. Later ones are counted.", file=sys.stderr, flush=True)
        self.problems[problem] += number


def _whole(values: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    assert not isinstance(values, Ragged)  # noqa: S101
    return np.asarray(values, np.int64)
