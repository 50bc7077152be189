"""Clicks whose conversions may still come, in bounded memory: their features, due times and conversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.events.event_columns import Batch
from fullrank.data.schema.columns import Column
from fullrank.trainers.streaming.timers import Floats, Ints, Timers

WAITING: Final = 1
RELEASED: Final = 2
_FIELDS: Final[dict[str, Any]] = {
    "id": np.int64,
    "state": np.int8,
    "clicked": np.float64,
    "release": np.float64,
    "converted": np.float64,
    "in_time": np.bool_,
    "predicted": np.float32,
    "young": np.bool_,
}
_FIRST_PLACES: Final = 1024


class WaitingClicks:
    """A place for each click from its arrival until its attribution window is over.

    In addition to the columns, a place holds `id`; `state`, 0 if free, `WAITING` or `RELEASED`; `clicked`, `release`
    and `converted` (NaN without a conversion) in seconds; `in_time`, whether the conversion came before the release;
    `predicted`, the score before any training on it, and `young`, whether its ad was young.

    Args:
      columns: Columns of a click that are kept.
      capacity: Maximum number of clicks held; beyond it the oldest must be removed.
      window: Seconds for which a conversion counts.
      tick: Releases and ends of windows are rounded up to a multiple of this, seconds.
    """

    def __init__(self, *, columns: tuple[Column, ...], capacity: int, window: float, tick: float) -> None:
        self._columns, self._capacity, self._window, self._tick = columns, capacity, window, tick
        self._reset(min(capacity, _FIRST_PLACES))

    def _reset(self, places: int) -> None:
        self._index: dict[int, int] = {}
        self._free: list[int] = list(range(places - 1, -1, -1))
        self._releases, self._ends = Timers(tick=self._tick), Timers(tick=self._tick)
        self.fields: dict[str, npt.NDArray[Any]] = {name: np.zeros(places, kind) for name, kind in _FIELDS.items()}
        self._values = {column.name: _empty(column, places) for column in self._columns}

    def __len__(self) -> int:
        """Clicks held."""
        return len(self._index)

    def holds(self, ids: Ints) -> npt.NDArray[np.bool_]:
        """Whether a click of each id is held, `[n]`."""
        return self.places(ids) >= 0

    def places(self, ids: Ints) -> Ints:
        """The place of each id, `[n]`; -1 if it is not held."""
        index = self._index
        return np.array([index.get(key, -1) for key in ids.tolist()], np.int64)

    def too_many(self, number: int) -> Ints:
        """The places of the oldest clicks that must be removed before `number` can be added."""
        missing = len(self) + number - self._capacity
        if missing <= 0:
            return np.zeros(0, np.int64)
        held = np.fromiter(self._index.values(), np.int64, len(self))
        order = np.lexsort((self.fields["id"][held], self.fields["clicked"][held]))
        return held[order[:missing]]

    def add(
        self,
        batch: Batch,
        *,
        ids: Ints,
        clicked: Floats,
        waits: Floats,
        predicted: npt.NDArray[np.float32],
        young: npt.NDArray[np.bool_],
    ) -> Ints:
        """Holds clicks, and starts their timers; returns their places, `[n]`.

        Args:
          batch: Their columns.
          ids: Their ids, none of which is held.
          clicked: Seconds.
          waits: Seconds; a click with a wait of 0 is released by the caller at once.
          predicted: Their predictions before any training on them.
          young: Whether their ads are young.
        """
        while len(self._free) < len(ids):
            self._grow()
        places = np.array([self._free.pop() for _ in range(len(ids))], np.int64)
        self._index.update(zip(ids.tolist(), places.tolist(), strict=True))
        given = {
            **{"id": ids, "state": WAITING, "clicked": clicked, "release": clicked + waits, "converted": np.nan},
            **{"in_time": False, "predicted": predicted, "young": young},
        }
        for name, values in given.items():
            self.fields[name][places] = values
        for name, held in self._values.items():
            held[places] = batch[name]
        self._start(places)
        return places

    def due(self, now: float) -> Ints:
        """The clicks whose wait is over, in order of time."""
        found = self._releases.pop(now)
        own = self.fields["id"][found.places] == found.ids
        places: Ints = found.places[own & (self.fields["state"][found.places] == WAITING)]
        return places

    def over(self, places: Ints, *, times: Floats) -> Ints:
        """Those of the clicks that still wait although their release is due before a time, in order of time.

        A block of events passes its clock on at its end: a conversion in it may come after the release of its click.

        Args:
          places: Different ones.
          times: Seconds, one for each place.
        """
        due = np.ceil(self.fields["release"][places] / self._tick) * self._tick < times
        found = places[due & (self.fields["state"][places] == WAITING)]
        ordered: Ints = found[np.lexsort((self.fields["id"][found], self.fields["release"][found]))]
        return ordered

    def ended(self, now: float) -> Ints:
        """The clicks whose attribution window is over, in order of time."""
        found = self._ends.pop(now)
        own = (self.fields["id"][found.places] == found.ids) & (self.fields["state"][found.places] > 0)
        places: Ints = found.places[own]
        return places

    def all_waiting(self) -> Ints:
        """All clicks that were not released yet, in order of time."""
        places = np.flatnonzero(self.fields["state"] == WAITING)
        return places[np.lexsort((self.fields["id"][places], self.fields["clicked"][places]))]

    def rows(self, places: Ints) -> Batch:
        """The columns of clicks."""
        return {name: held[places] for name, held in self._values.items()}

    def remove(self, places: Ints) -> None:
        """Forgets clicks."""
        for key in self.fields["id"][places].tolist():
            del self._index[key]
        self.fields["state"][places] = 0
        for column in self._columns:
            if column.dtype == "bytes":
                self._values[column.name][places] = column.missing
        self._free.extend(places.tolist())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The clicks held as arrays, in order of id."""
        places = np.array([place for _, place in sorted(self._index.items())], np.int64)
        fields = {f"field/{name}": values[places] for name, values in self.fields.items()}
        return {**fields, **{f"column/{name}": values for name, values in self.rows(places).items()}}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`; present clicks are discarded."""
        number = len(state["field/id"])
        self._reset(max(number, min(self._capacity, _FIRST_PLACES)))
        self._free = list(range(len(self.fields["id"]) - 1, number - 1, -1))
        for name, values in self.fields.items():
            values[:number] = state[f"field/{name}"]
        for name, values in self._values.items():
            values[:number] = state[f"column/{name}"]
        places = np.arange(number)
        self._index.update(zip(self.fields["id"][:number].tolist(), places.tolist(), strict=True))
        self._start(places)

    def _start(self, places: Ints) -> None:
        clicked, release, ids = (self.fields[name][places] for name in ("clicked", "release", "id"))
        later = (release > clicked) & (self.fields["state"][places] == WAITING)
        self._releases.add(times=release[later], places=places[later], ids=ids[later])
        self._ends.add(times=clicked + self._window, places=places, ids=ids)

    def _grow(self) -> None:
        held = len(self.fields["id"])
        more = max(1, min(held, self._capacity - held))
        for name, values in self.fields.items():
            self.fields[name] = np.concatenate([values, np.zeros(more, values.dtype)])
        for column in self._columns:
            self._values[column.name] = np.concatenate([self._values[column.name], _empty(column, more)])
        self._free = list(range(held + more - 1, held - 1, -1)) + self._free


def _empty(column: Column, places: int) -> npt.NDArray[Any]:
    shape = places if column.form == "one" else (places, column.length)
    return np.full(shape, column.missing, column.numpy_dtype)
