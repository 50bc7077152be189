"""Timers of clicks, in slots of time, so that timers that are not due cost nothing."""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Due(NamedTuple):
    """Timers that are due, in order of time and id.

    Attributes:
      places: `[n]`, of clicks in their store.
      ids: `[n]`, with which the store checks whether the place still holds that click.
    """

    places: Ints
    ids: Ints


class Timers:
    """Timers that end at the next multiple of a tick.

    Args:
      tick: Seconds.
    """

    def __init__(self, *, tick: float) -> None:
        self._tick = tick
        self._slots: dict[int, list[tuple[Floats, Ints, Ints]]] = {}
        self._order: list[int] = []

    def add(self, *, times: Floats, places: Ints, ids: Ints) -> None:
        """Starts timers that are due at `times`, seconds, `[n]`."""
        slots = np.ceil(times / self._tick).astype(np.int64)
        for slot in np.unique(slots).tolist():
            own = slots == slot
            if slot not in self._slots:
                self._slots[slot] = []
                heapq.heappush(self._order, slot)
            self._slots[slot].append((times[own], places[own], ids[own]))

    def pop(self, now: float) -> Due:
        """Takes the timers that are due at a moment."""
        last, found = math.floor(now / self._tick), []
        while self._order and self._order[0] <= last:
            found += self._slots.pop(heapq.heappop(self._order))
        if not found:
            return Due(np.zeros(0, np.int64), np.zeros(0, np.int64))
        times, places, ids = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((ids, times))
        return Due(places[order], ids[order])
