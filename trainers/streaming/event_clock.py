"""The clock of a stream: the latest event time, which one wrong time must not move."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fullrank.data.events.event_columns import Events
from fullrank.trainers.streaming.timers import Floats

_LOOK_AHEAD: Final = 64
"""Number of events that decide whether the one before them has a wrong time."""


class EventClock:
    """Admits events that are close enough to the latest one.

    Attributes:
      now: Latest event time, seconds; -inf before the first event.
      start: Earliest one, seconds; inf before the first event.
      too_late: Number of events that were too far behind the clock.
      jumps: Number of events that were too far ahead of it.
      gaps: How often the events after one that was too far ahead were so as well: the stream itself had a gap.

    Args:
      lateness: How far behind the clock an event may be, seconds.
      jump: How far ahead of it an event may be, seconds.
    """

    def __init__(self, *, lateness: float, jump: float) -> None:
        self._lateness, self._jump = lateness, jump
        self.now, self.start = -np.inf, np.inf
        self.too_late = self.jumps = self.gaps = 0

    def admit(self, events: Events) -> Events:
        """Returns the events that are close enough, and moves the clock to the latest of them."""
        if not len(events.ids):
            return events
        ahead = self._ahead(events.times)
        behind = events.times < self.now - self._lateness
        self.too_late += int(behind.sum())
        events = events.take(~(ahead | behind))
        if len(events.ids):
            self.now = max(self.now, float(events.times.max()))
            self.start = min(self.start, float(events.times.min()))
        return events

    def _ahead(self, times: Floats) -> npt.NDArray[np.bool_]:
        """Whether each event is too far ahead although those after it are not, `[n]`."""
        ahead = np.zeros(len(times), bool)
        if self.now > -np.inf and times.max() <= self.now + self._jump:
            return ahead
        base = self.now
        for place, time in enumerate(times.tolist()):
            if time > base + self._jump:
                after = times[place + 1 : place + 1 + _LOOK_AHEAD]
                # No event follows the last one: alone, it may begin a stream, but not move its clock.
                agree = time <= np.median(after) + self._jump if len(after) else base == -np.inf
                ahead[place] = not agree
                self.gaps += int(agree and base > -np.inf)
            if not ahead[place]:
                base = max(base, time)
        self.jumps += int(ahead.sum())
        return ahead

    def state(self) -> Floats:
        """The whole state as one array."""
        return np.array([self.now, self.start, self.too_late, self.jumps, self.gaps])

    def restore(self, state: Floats) -> None:
        """Restores the result of `state`."""
        self.now, self.start, *counts = state.tolist()
        self.too_late, self.jumps, self.gaps = (int(count) for count in counts)
