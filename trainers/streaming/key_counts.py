"""Clicks and conversions of ads and advertisers, recent and historical, with decay and in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_EVICTED: Final = 16
"""When there is no room, one in this many keys is evicted, the least recent ones."""
_COLUMNS: Final = ("clicks", "squares", "conversions", "past_clicks", "past_conversions")


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of keys, `[n]` each.

    Attributes:
      clicks: Effective number of clicks in the window.
      conversions: Conversions that arrived in it, on the same scale.
      rate: Conversions over clicks in the past; 0 without clicks.
      past_conversions: Decayed number of conversions that the rate rests on.
    """

    clicks: Floats
    conversions: Floats
    rate: Floats
    past_conversions: Floats


class KeyCounts:
    """A row of decayed sums for each key of each level; the least recent keys make room for new ones.

    An event of age a weighs `exp(-a / window)` in the window's sums and `exp(-a / history)` in those of the past.
    A decayed number of conversions does not have the variance of a count: with weights w_i it is
    `p (1 - p) sum w_i^2`. The sums of a window, n = sum w_i and c, are therefore scaled to the count that has the same
    deviation, `n^2 / sum w_i^2` clicks and `c n / sum w_i^2` conversions; at a steady rate of clicks that is twice the
    decayed number.

    Args:
      levels: L, the levels of keys, such as ad and advertiser. Each has its own index.
      capacity: Maximum number of keys over all levels.
      window: Seconds.
      history: Seconds.

    Raises:
      ValueError: If a number is too small.
    """

    def __init__(self, *, levels: int, capacity: int, window: float, history: float) -> None:
        if levels < 1 or capacity < 1 or not (0 < window <= history):
            raise ValueError(
                "Counts of keys need a level, room for a key and 0 < window <= history. "
                f"Received: {levels}, {capacity}, {window}, {history}."
            )
        self._capacity, self._window, self._history = capacity, window, history
        self._index: list[dict[Any, int]] = [{} for _ in range(levels)]
        self._keys: list[tuple[int, Any]] = []
        self._sums = np.zeros((min(capacity, 1024), len(_COLUMNS)))
        self._last = np.zeros(len(self._sums))
        self._first = np.zeros(len(self._sums))
        self._free: list[int] = []
        self.evicted = 0

    def __len__(self) -> int:
        """Number of keys held."""
        return sum(len(index) for index in self._index)

    def rows(self, *, level: int, keys: Sequence[Any], now: float) -> Ints:
        """The row of each key, `[n]`, decayed to a moment; an unknown key gets a new one.

        Rows of an earlier call are valid until the next call, which may evict.

        Args:
          level: From 0.
          keys: Hashable values, n of them.
          now: Seconds; not before that of an earlier call.

        Raises:
          ValueError: If there are more different keys than room.
        """
        index = self._index[level]
        found = [index.get(key, -1) for key in keys]
        if -1 in found:
            new = [key for key in dict.fromkeys(keys) if key not in index]
            known = np.unique([row for row in found if row >= 0]).astype(np.int64)
            self._make_room(len(new), keep=known)
            for key in new:
                self._add(level, key, now)
            found = [index[key] for key in keys]
        rows: Ints = np.array(found, np.int64)
        self._decay(np.unique(rows), now)
        return rows

    def add_clicks(self, rows: Ints) -> None:
        """Counts a click of each row, `[n]`; rows may repeat."""
        for column, step in ((0, 1.0), (1, 1.0), (3, 1.0)):
            np.add.at(self._sums[:, column], rows, step)

    def add_conversions(self, rows: Ints) -> None:
        """Counts the arrival of a conversion of each row, `[n]`; rows may repeat."""
        for column in (2, 4):
            np.add.at(self._sums[:, column], rows, 1.0)

    def counts(self, rows: Ints) -> Counts:
        """The counts of the keys of rows, `[n]`."""
        n, squares, c, past_n, past_c = self._sums[rows].T
        scale = np.divide(n, squares, out=np.ones_like(n), where=squares > 0.0)
        rate = np.divide(past_c, past_n, out=np.zeros_like(past_n), where=past_n > 0.0)
        return Counts(n * scale, c * scale, np.minimum(rate, 1.0), past_c)

    def first_seen(self, rows: Ints) -> Floats:
        """The time at which the key of each row was first seen, seconds, `[n]`; evicted keys are new if seen again."""
        return self._first[rows]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The whole state as arrays; keys are whole numbers or bytes."""
        state: dict[str, npt.NDArray[Any]] = {"evicted": np.array([self.evicted])}
        for level, index in enumerate(self._index):
            rows = np.array(list(index.values()), np.int64)
            keys = list(index)
            kind = object if keys and isinstance(keys[0], bytes) else np.int64
            state |= {
                f"{level}/keys": np.array(keys, kind),
                f"{level}/sums": self._sums[rows],
                f"{level}/last": self._last[rows],
                f"{level}/first": self._first[rows],
            }
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`; present counts are discarded."""
        self._keys, self._free = [], []
        self.evicted = int(state["evicted"][0])
        for level, index in enumerate(self._index):
            index.clear()
            sums, last, first = (state[f"{level}/{part}"] for part in ("sums", "last", "first"))
            for place, key in enumerate(state[f"{level}/keys"].tolist()):
                row = self._add(level, key, 0.0)
                self._sums[row], self._last[row], self._first[row] = sums[place], last[place], first[place]

    def _add(self, level: int, key: Any, now: float) -> int:
        if self._free:
            row = self._free.pop()
            self._keys[row] = (level, key)
        else:
            row = len(self._keys)
            self._keys.append((level, key))
            if row == len(self._sums):
                self._grow()
        self._index[level][key] = row
        self._sums[row], self._last[row], self._first[row] = 0.0, now, now
        return row

    def _grow(self) -> None:
        more = min(self._capacity, 2 * len(self._sums)) - len(self._sums)
        self._sums = np.concatenate([self._sums, np.zeros((more, len(_COLUMNS)))])
        self._last, self._first = (np.concatenate([part, np.zeros(more)]) for part in (self._last, self._first))

    def _make_room(self, wanted: int, *, keep: Ints) -> None:
        missing = len(self) + wanted - self._capacity
        if missing <= 0:
            return
        held = np.fromiter((row for index in self._index for row in index.values()), np.int64, len(self))
        out = np.setdiff1d(held, keep)
        if missing > len(out):
            raise ValueError(f"{wanted + len(keep)} keys at once, but there is room for {self._capacity}.")
        number = min(len(out), max(missing, self._capacity // _EVICTED))
        for row in out[np.lexsort((out, self._last[out]))[:number]].tolist():
            level, key = self._keys[row]
            del self._index[level][key]
            self._free.append(row)
        self.evicted += number

    def _decay(self, rows: Ints, now: float) -> None:
        age = np.maximum(now - self._last[rows], 0.0)
        recent, past = np.exp(-age / self._window), np.exp(-age / self._history)
        self._sums[rows] *= np.stack([recent, recent**2, recent, past, past], axis=1)
        self._last[rows] = np.maximum(self._last[rows], now)
