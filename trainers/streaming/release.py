"""Decides how long each click waits, by the release rule on the first key that can be judged ([Tencent] §6.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.trainers.streaming.key_counts import Floats, Ints, KeyCounts
from fullrank.trainers.streaming.release_rule import waiting_time

DECISIONS: Final = ("at_once", "waited", "capped", "fell_back", "undecided")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleSettings:
    """Settings of the rule; times are in seconds.

    Attributes:
      window: Time constant of the counts that are compared.
      history: Time constant of the rate that they are compared with.
      threshold: Largest |z| at which nothing waits.
      cap: Longest wait.
      minimum: Conversions that must be expected in the window, and have been seen in the past, for a key to be judged.
      capacity: Maximum number of keys that are counted.
    """

    window: float
    history: float
    threshold: float
    cap: float
    minimum: float
    capacity: int


class Release:
    """Counts of keys, from the first, such as the ad, to all clicks together, and the decisions they lead to.

    A key is too young to judge while fewer than `minimum` conversions are expected in its window, or lie in its past.
    The next key then decides: the advertiser for the ad, all clicks for the advertiser. If not even these can be
    judged, nothing waits.

    Decisions are counted, one per click; the last two are counted in addition:

    * `at_once`: no wait; `waited`: a wait below the cap; `capped`: the longest wait;
    * `fell_back`: decided by another key than the first; `undecided`: no key could be judged.

    Args:
      levels: Number of keys, without the one of all clicks.
      settings: Settings of the rule.
    """

    def __init__(self, *, levels: int, settings: RuleSettings) -> None:
        self._settings, self._levels = settings, levels
        self.counts = KeyCounts(
            levels=levels + 1, capacity=settings.capacity, window=settings.window, history=settings.history
        )
        self.decisions = dict.fromkeys(DECISIONS, 0)

    def _rows(self, keys: Sequence[Sequence[Any]], *, level: int, number: int, now: float) -> Ints:
        values = [0] * number if level == self._levels else keys[level]
        return self.counts.rows(level=level, keys=values, now=now)

    def waits(self, keys: Sequence[Sequence[Any]], *, number: int, now: float) -> Floats:
        """Seconds that each click waits, `[n]`; counts the decisions, but not yet the clicks.

        Args:
          keys: For each level, n values.
          number: n.
          now: Seconds.
        """
        rule = self._settings
        waits, open_, level_of = np.zeros(number), np.ones(number, bool), np.full(number, -1)
        for level in range(self._levels + 1):
            found = self.counts.counts(self._rows(keys, level=level, number=number, now=now))
            judged = (found.clicks * found.rate >= rule.minimum) & (found.past_conversions >= rule.minimum) & open_
            wait = waiting_time(
                conversions=found.conversions,
                clicks=found.clicks,
                rate=found.rate,
                window=rule.window,
                threshold=rule.threshold,
                cap=rule.cap,
            )
            waits, open_, level_of = np.where(judged, wait, waits), open_ & ~judged, np.where(judged, level, level_of)
        capped = (waits >= rule.cap) & (waits > 0.0)
        self._count(at_once=waits == 0.0, capped=capped, waited=(waits > 0.0) & ~capped)
        self._count(fell_back=level_of > 0, undecided=level_of < 0)
        return waits

    def add_clicks(self, keys: Sequence[Sequence[Any]], *, number: int, now: float) -> Floats:
        """Counts n clicks; returns when the first key of each was first seen, seconds, `[n]`."""
        first = np.zeros(number)
        for level in range(self._levels + 1):
            rows = self._rows(keys, level=level, number=number, now=now)
            self.counts.add_clicks(rows)
            if level == 0:
                first = self.counts.first_seen(rows).copy()
        return first

    def add_conversions(self, keys: Sequence[Sequence[Any]], *, number: int, now: float) -> None:
        """Counts n conversions of clicks with these keys, at the moment they arrive."""
        for level in range(self._levels + 1):
            self.counts.add_conversions(self._rows(keys, level=level, number=number, now=now))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Counts and decisions as arrays."""
        return {"decisions": np.array([self.decisions[name] for name in DECISIONS]), **self.counts.state()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`."""
        self.decisions = dict(zip(DECISIONS, state["decisions"].tolist(), strict=True))
        self.counts.restore(state)

    def _count(self, **decided: npt.NDArray[np.bool_]) -> None:
        for name, rows in decided.items():
            self.decisions[name] += int(np.count_nonzero(rows))
