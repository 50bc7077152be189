"""Joins clicks with the conversions that come later, and decides when and in which role each click is trained on."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fullrank.data.events.event_columns import CLICKED, CONVERTED, IMPRESSION, Batch, Events
from fullrank.data.events.packed_arrays import nested, part_of_nested
from fullrank.data.schema.columns import Column
from fullrank.trainers.streaming.event_clock import EventClock
from fullrank.trainers.streaming.progressive import Progressive
from fullrank.trainers.streaming.release import Release, RuleSettings
from fullrank.trainers.streaming.timers import Floats, Ints
from fullrank.trainers.streaming.training_rows import COMPLETE, ENDED, LATE, NEGATIVE, POSITIVE, TrainingRows
from fullrank.trainers.streaming.waiting_clicks import RELEASED, WAITING, WaitingClicks

Late = Literal["naive", "oracle", "fnw", "fnc", "es_dfm", "dfm"]
COUNTERS: Final = (
    "impressions", "clicks", "conversions", "in_time", "late", "duplicates", "without_click", "evicted", "flushed",
    "without_label",
)  # fmt: skip
WAITING_EDGES: Final = tuple(3600.0 * hours for hours in (0.25, 0.5, 1, 2, 4, 8, 16, 24, 48, 96, 192))
"""Upper edges of the histogram of waiting times, in seconds; clicks that do not wait are the first bin."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinSettings:
    """The settings that decide when a click is trained on; times are in seconds.

    Attributes:
      late: How late conversions are handled.
      wait: `none`, `fixed` or `rule`.
      fixed: Wait of `fixed`.
      rule: Settings of `rule`; its counts also give the age of ads.
      keys: Columns of the rule, the ad first.
      label: Column that holds the final label if it is already known.
      window: For how long after its click a conversion counts.
      lateness: How far behind the clock an event may be.
      jump: How far ahead of the clock an event may be.
      tick: Releases are rounded up to a multiple of this.
      young: Age up to which an ad is young.
      capacity: Maximum number of clicks held.
      width: Length of the stretches of time for which metrics are reported.
      settle: Time at the start that the metrics of the whole stream leave out.
    """

    late: Late
    wait: Literal["none", "fixed", "rule"]
    fixed: float
    rule: RuleSettings
    keys: tuple[str, ...]
    label: str
    window: float
    lateness: float
    jump: float
    tick: float
    young: float
    capacity: int
    width: float
    settle: float = 0.0


class Join:
    """The state of a stream between its source and the model.

    Attributes:
      clock: Latest event time, and events that were too far from it.
      rows: Rows to train on.
      complete: Clicks with complete labels, for the model of delays.
      counters: Numbers of events that came, and of those that were dropped for each reason.
      waits: Histogram of waiting times: none, up to each of `WAITING_EDGES`, and longer.
      progressive: Metrics.
      release: The rule with its counts and decisions.

    Args:
      settings: The settings of the join.
      columns: Columns that training reads.
    """

    def __init__(self, settings: JoinSettings, *, columns: tuple[Column, ...]) -> None:
        self._settings = settings
        self.clock = EventClock(lateness=settings.lateness, jump=settings.jump)
        self.rows, self.complete = TrainingRows(), TrainingRows()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.waits = np.zeros(len(WAITING_EDGES) + 2, np.int64)
        self.progressive = Progressive(width=settings.width, settle=settings.settle)
        self.release = Release(levels=len(settings.keys), settings=settings.rule)
        self._columns = columns
        self._store = WaitingClicks(
            columns=columns, capacity=settings.capacity, window=settings.window, tick=settings.tick
        )
        self._early: dict[int, float] = {}
        self._deadlines: deque[tuple[float, int]] = deque()

    @property
    def _now(self) -> float:
        return self.clock.now

    @property
    def held(self) -> int:
        """Clicks in memory."""
        return len(self._store)

    def take(self, events: Events, score: Callable[[Batch], Floats]) -> None:
        """Takes events; the rows that become ready for training are then in `rows` and `complete`.

        Args:
          events: In the order of the stream.
          score: Returns the probabilities of clicks by the current model, `[n]`.
        """
        events = self.clock.admit(events)
        if not len(events.ids):
            return
        self.counters["impressions"] += int((events.kinds == IMPRESSION).sum())
        self._clicks(events.take(events.kinds == CLICKED), score)
        self._conversions(events.take(events.kinds == CONVERTED))
        self._pass_time()

    def flush(self) -> None:
        """Releases all clicks that still wait: the stream has ended."""
        places = self._store.all_waiting()
        self.counters["flushed"] += len(places)
        self._released(places)
        self.progressive.close(before=np.inf)

    def _clicks(self, events: Events, score: Callable[[Batch], Floats]) -> None:
        first = np.zeros(len(events.ids), bool)
        first[np.unique(events.ids, return_index=True)[1]] = True
        new = first & ~self._store.holds(events.ids)
        self.counters["duplicates"] += int((~new).sum())
        events = events.take(new)
        n, settings = len(events.ids), self._settings
        if not n:
            return
        self.counters["clicks"] += n
        self._make_room(n)
        batch = {column.name: events.columns[column.name] for column in self._columns}
        predicted = score(batch)
        keys = [events.columns[name].tolist() for name in settings.keys]
        waits = self._waits(keys, n)
        seen = self.release.add_clicks(keys, number=n, now=self._now)
        young = (seen >= self.clock.start + settings.young) & (events.times - seen < settings.young)
        labels = events.columns[settings.label].astype(np.float64)
        self.progressive.add(
            start=self.clock.start, clicked=events.times, labels=labels, predicted=predicted, young=young
        )
        unknown = np.where(np.isnan(labels), predicted, np.nan)
        places = self._store.add(
            batch, ids=events.ids, clicked=events.times, waits=waits, predicted=unknown, young=young
        )
        self._join_early(events.ids, places)
        if settings.late == "oracle":
            self._train_on_final(places, labels)
        else:
            self._released(places[waits == 0.0])

    def _waits(self, keys: list[list[Any]], number: int) -> Floats:
        wait = self._settings.wait
        if wait == "rule":
            waits = self.release.waits(keys, number=number, now=self._now)
        else:
            waits = np.full(number, self._settings.fixed if wait == "fixed" else 0.0)
        bins = np.where(waits > 0.0, 1 + np.searchsorted(WAITING_EDGES, waits), 0)
        self.waits += np.bincount(bins, minlength=len(self.waits))
        return waits

    def _train_on_final(self, places: Ints, labels: Floats) -> None:
        known = ~np.isnan(labels)
        self.counters["without_label"] += int((~known).sum())
        self._store.fields["state"][places] = RELEASED
        roles = np.where(labels[known] > 0.5, POSITIVE, NEGATIVE)
        self._train(places[known], roles, elapsed=np.zeros(known.sum()))

    def _conversions(self, events: Events) -> None:
        self.counters["conversions"] += len(events.ids)
        places = self._store.places(events.clicks)
        for click, time in zip(events.clicks[places < 0].tolist(), events.times[places < 0].tolist(), strict=True):
            if click in self._early:
                self.counters["duplicates"] += 1
            else:
                self._early[click] = time
                self._deadlines.append((self._now + self._settings.lateness, click))
        places, times = places[places >= 0], events.times[places >= 0]
        first = np.unique(places, return_index=True)[1]
        self._released(self._store.over(places[first], times=times[first]))
        self._converted(places, times)

    def _join_early(self, ids: Ints, places: Ints) -> None:
        """Joins clicks with conversions that came before them."""
        if not self._early:
            return
        own = np.array([key in self._early for key in ids.tolist()])
        times = np.array([self._early.pop(key) for key in ids[own].tolist()])
        self._converted(places[own], times)

    def _converted(self, places: Ints, times: Floats) -> None:
        """Records conversions of clicks that are held; those after the end of their window count as without a click."""
        fields = self._store.fields
        within = times <= fields["clicked"][places] + self._settings.window
        self.counters["without_click"] += int((~within).sum())
        places, times = places[within], times[within]
        first = np.zeros(len(places), bool)
        first[np.unique(places, return_index=True)[1]] = True
        new = first & np.isnan(fields["converted"][places])
        self.counters["duplicates"] += int((~new).sum())
        places, times = places[new], times[new]
        if not len(places):
            return
        fields["converted"][places] = np.maximum(times, fields["clicked"][places])
        waiting = fields["state"][places] == WAITING
        fields["in_time"][places] = waiting
        self.counters["in_time"] += int(waiting.sum())
        self.counters["late"] += int((~waiting).sum())
        rows = self._store.rows(places)
        self.release.add_conversions(
            [rows[name].tolist() for name in self._settings.keys], number=len(places), now=self._now
        )
        if self._settings.late in ("fnw", "fnc", "es_dfm", "dfm"):
            late = places[~waiting]
            silent = fields["release"][late] - fields["clicked"][late]
            elapsed = np.maximum(fields["converted"][late] - fields["clicked"][late], silent)
            self._train(late, LATE, elapsed=elapsed, again=True)

    def _pass_time(self) -> None:
        """Handles everything that is due by the clock."""
        while self._deadlines and self._deadlines[0][0] < self._now:
            self.counters["without_click"] += self._early.pop(self._deadlines.popleft()[1], None) is not None
        self._released(self._store.due(self._now))
        self._ended(self._store.ended(self._now))
        self.progressive.close(before=self._now - self._settings.window - self._settings.lateness)

    def _released(self, places: Ints) -> None:
        """Queues clicks for training with the labels that they have now."""
        if not len(places):
            return
        fields = self._store.fields
        fields["state"][places] = RELEASED
        waited = places[fields["release"][places] > fields["clicked"][places]]
        fields["release"][waited] = self._now
        converted = ~np.isnan(fields["converted"][places])
        until = np.where(converted, fields["converted"][places], fields["release"][places])
        roles = np.where(converted, POSITIVE, NEGATIVE)
        self._train(places, roles, elapsed=until - fields["clicked"][places])

    def _ended(self, places: Ints, *, complete: bool = True) -> None:
        """Removes clicks, and queues the rows that they still lead to; `complete` says that their windows are over."""
        if not len(places):
            return
        fields, late = self._store.fields, self._settings.late
        self._released(places[fields["state"][places] == WAITING])
        converted = fields["converted"][places]
        label = ~np.isnan(converted)
        predicted = fields["predicted"][places]
        self.progressive.add(
            start=self.clock.start,
            clicked=fields["clicked"][places],
            labels=np.where(np.isnan(predicted) | (not complete), np.nan, label),
            predicted=predicted,
            young=fields["young"][places],
        )
        if late == "dfm":
            silent = places[~label]
            held = np.minimum(self._settings.window, self._now - fields["clicked"][silent])
            self._train(silent, ENDED, elapsed=held, again=True)
        if late == "es_dfm" and complete:
            self._train(places, COMPLETE, elapsed=converted - fields["clicked"][places], again=True, into=self.complete)
        self._store.remove(places)

    def _train(
        self, places: Ints, role: Any, *, elapsed: Floats, again: bool = False, into: TrainingRows | None = None
    ) -> None:
        """Queues rows; `again` says that the click was trained on before, as one without a conversion."""
        fields = self._store.fields
        waited = fields["release"][places] - fields["clicked"][places]
        seen_silent = again & ~fields["in_time"][places]
        (self.rows if into is None else into).add(
            self._store.rows(places),
            ids=fields["id"][places],
            role=role,
            elapsed=elapsed,
            silent=np.where(seen_silent, waited, np.nan),
            waited=waited,
        )

    def _make_room(self, number: int) -> None:
        places = self._store.too_many(number)
        self.counters["evicted"] += len(places)
        self._ended(places, complete=False)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The whole state as arrays."""
        early = {
            "ids": np.array([click for _, click in self._deadlines], np.int64),
            "deadlines": np.array([deadline for deadline, _ in self._deadlines]),
            "times": np.array([self._early.get(click, np.nan) for _, click in self._deadlines]),
        }
        own = {
            "clock": self.clock.state(),
            "counters": np.array([self.counters[name] for name in COUNTERS]),
            "waits": self.waits,
        }
        return nested(
            {
                "own": own,
                "early": early,
                "store": self._store.state(),
                "rows": self.rows.state(),
                "complete": self.complete.state(),
                "progressive": self.progressive.state(),
                "release": self.release.state(),
            }
        )

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`."""
        own, early = part_of_nested(state, "own"), part_of_nested(state, "early")
        self.clock.restore(own["clock"])
        self.counters = dict(zip(COUNTERS, own["counters"].tolist(), strict=True))
        self.waits = own["waits"].copy()
        self._deadlines = deque(zip(early["deadlines"].tolist(), early["ids"].tolist(), strict=True))
        pairs = zip(early["ids"].tolist(), early["times"].tolist(), strict=True)
        self._early = {click: time for click, time in pairs if not np.isnan(time)}
        for name, part in (
            ("store", self._store), ("rows", self.rows), ("complete", self.complete),
            ("progressive", self.progressive), ("release", self.release),
        ):  # fmt: skip
            part.restore(part_of_nested(state, name))
