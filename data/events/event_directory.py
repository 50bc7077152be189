"""Events of a growing directory: files in the order of their names, each once, until a marker says that it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fullrank.data.events.event_columns import Events
from fullrank.data.events.event_files import END, PATTERN
from fullrank.data.events.event_source import BlockReader, Position
from fullrank.data.records.frames import Frame, read_frames
from fullrank.data.schema.schema import Schema

ROWS: Final = 4096
"""Maximum number of events that are returned at once."""


class EventDirectory:
    """Reads a directory of events; a position names a file, a record and its byte, and a row in it.

    Problems are counted, and reading continues after them: a damaged record, a file that is cut off or was removed
    before it was read completely, and a file whose name sorts before one that was already read.

    Args:
      directory: A directory that `start_stream` made.
      schema: Its schema.
    """

    def __init__(self, directory: Path, *, schema: Schema) -> None:
        self._directory, self._reader = directory, BlockReader(schema)
        self._done: set[str] = set()
        self._file, self._record, self._start, self._row = "", 0, 0, 0
        self._frames: Iterator[Frame] | None = None
        self._block: tuple[Events, int] | None = None
        self._waiting: deque[str] = deque()

    @property
    def problems(self) -> dict[str, int]:
        """Number of problems of each kind since the first event."""
        return self._reader.problems

    @property
    def ended(self) -> bool:
        """Whether the marker is there and every file was read."""
        return not self._file and (self._directory / END).exists() and not self._listed()

    def read(self) -> Events | None:
        """The next events; `None` if there are none now."""
        while True:
            if self._block is not None:
                return self._part()
            if not self._file and not self._next_file():
                return None
            self._next_block()

    def position(self) -> Position:
        """The place of the next event."""
        place = {"file": self._file, "record": self._record, "start": self._start, "row": self._row}
        return {**place, "done": sorted(self._done), "problems": dict(self.problems)}

    def seek(self, position: Position) -> None:
        """Continues at the position of another process."""
        self._file, self._record, self._start, self._row = (
            position[name] for name in ("file", "record", "start", "row")
        )
        self._done = set(position["done"])
        self.problems.update(position["problems"])
        self._frames, self._block = None, None
        self._waiting.clear()

    def _listed(self) -> list[str]:
        """Files to read, in order; those whose names sort before one that was read are counted, and not read."""
        there = sorted(path.name for path in self._directory.glob(PATTERN))
        last = max(self._done, default="")
        # Removed files need not be remembered, except the last one, which decides what is too late.
        self._done &= {*there, last}
        late = [name for name in there if name < last and name not in self._done]
        if late:
            self._reader.count("late_files", len(late), f"{late[0]}: its name sorts before {last}, which was read")
            self._done.update(late)
        return [name for name in there if name > last]

    def _next_file(self) -> bool:
        if not self._waiting:
            self._waiting.extend(self._listed())
        if not self._waiting:
            return False
        self._file, self._record, self._start, self._row = self._waiting.popleft(), 0, 0, 0
        return True

    def _next_block(self) -> None:
        """Loads the block at the position, or advances to the next place that may have one."""
        place = f"{self._directory / self._file}, record {self._record}"
        if self._frames is None:
            path = self._directory / self._file
            self._frames = read_frames(path, compression="", record=self._record, start=self._start)
        try:
            frame = next(self._frames, None)
        except FileNotFoundError:
            self._reader.count("removed_files", 1, f"{place}: the file was removed before it was read completely")
            frame = None
        if frame is None:
            self._finish()
        elif frame.data is not None:
            events = self._reader.events(frame.data, place=place)
            if events is None:
                self._advance(frame.end)
            else:
                self._block = (events, frame.end)
        elif frame.end:
            self._reader.count("damaged_records", 1, f"{place}: {frame.reason}")
            self._advance(frame.end)
        else:
            self._reader.count("cut_off_files", 1, f"{place}: {frame.reason}")
            self._finish()

    def _part(self) -> Events:
        assert self._block is not None  # noqa: S101
        events, end = self._block
        part = events.take(slice(self._row, self._row + ROWS))
        self._row += ROWS
        if self._row >= len(events.ids):
            self._advance(end)
        return part

    def _advance(self, end: int) -> None:
        self._record, self._start, self._row, self._block = self._record + 1, end, 0, None

    def _finish(self) -> None:
        self._done.add(self._file)
        self._file, self._record, self._start, self._row, self._frames = "", 0, 0, 0, None
