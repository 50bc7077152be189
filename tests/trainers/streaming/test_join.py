"""The join by hand: when a click is trained on and as what, and everything that can be wrong with a stream."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from fullrank.data.events.event_columns import Events
from fullrank.data.events.packed_arrays import pack, unpack
from fullrank.data.schema.columns import Column
from fullrank.trainers.streaming.join import Join, JoinSettings
from fullrank.trainers.streaming.release import RuleSettings
from fullrank.trainers.streaming.training_rows import DAY, ROLES, TrainingRows

COLUMNS = (Column(name="ad", dtype="int64"), Column(name="text", dtype="bytes"))
HOUR = 3600.0


def settings(**changes: Any) -> JoinSettings:
    rule = RuleSettings(window=HOUR, history=DAY, threshold=2.0, cap=4 * HOUR, minimum=1.0, capacity=20_000)
    given: dict[str, Any] = {
        **{"late": "es_dfm", "wait": "fixed", "fixed": HOUR, "rule": rule, "keys": ("ad",), "label": "buy"},
        **{"window": DAY, "lateness": 600.0, "jump": DAY, "tick": 60.0, "young": HOUR, "capacity": 9000},
        "width": DAY,
    }
    return JoinSettings(**{**given, **changes})


def events(*rows: tuple[float, int, int, int], buy: float = np.nan) -> Events:
    """Events of (time, kind, id, click)."""
    times, kinds, ids, clicks = (np.array(column) for column in zip(*rows, strict=True))
    columns = {
        "ad": ids % 3,
        "text": np.array([b"%d" % each for each in ids], object),
        "buy": np.full(len(ids), buy, np.float32),
    }
    return Events(ids.astype(np.int64), kinds, times.astype(np.float64), clicks.astype(np.int64), columns)


def half(batch: dict[str, np.ndarray]) -> np.ndarray:
    return np.full(len(batch["ad"]), 0.5)


def rows(queue: TrainingRows) -> list[tuple[int, str, float, float]]:
    """Id, role, elapsed and silent (-1 for NaN), in hours."""
    if not queue.rows:
        return []
    taken = queue.take(queue.rows)
    assert (taken["ad"] == taken["row/id"] % 3).all()
    assert taken["text"].tolist() == [b"%d" % each for each in taken["row/id"]]
    hours = [
        np.round(np.nan_to_num(taken[f"row/{name}"].astype(np.float64) * 24.0, nan=-1.0), 3)
        for name in ("elapsed", "silent")
    ]
    roles = [ROLES[role] for role in taken["row/role"]]
    return list(zip(taken["row/id"].tolist(), roles, *(each.tolist() for each in hours), strict=True))


# Click 1 converts within its hour, click 2 after it, click 3 never; the last event shows that 25 hours are over.
STREAM = (
    events((0, 1, 1, -1), (0, 1, 2, -1), (0, 1, 3, -1)),
    events((HOUR / 2, 2, 101, 1)),
    events((2 * HOUR, 0, 50, -1)),
    events((3 * HOUR, 2, 102, 2)),
    events((13 * HOUR, 0, 51, -1)),
    events((25 * HOUR, 0, 52, -1)),
)


@pytest.mark.parametrize(
    ("late", "wait", "expected"),
    [
        ("naive", "fixed", [(1, "positive", 0.5, -1), (2, "negative", 2, -1), (3, "negative", 2, -1)]),
        ("fnw", "none", [*((n, "negative", 0, -1) for n in (1, 2, 3)), (1, "late", 0.5, 0), (2, "late", 3, 0)]),
        (
            "es_dfm",
            "fixed",
            [(1, "positive", 0.5, -1), (2, "negative", 2, -1), (3, "negative", 2, -1), (2, "late", 3, 2)],
        ),
        (
            "dfm",
            "fixed",
            [(1, "positive", 0.5, -1), (2, "negative", 2, -1), (3, "negative", 2, -1), (2, "late", 3, 2),
             (3, "ended", 24, 2)],
        ),
    ],
)  # fmt: skip
def test_what_a_click_is_trained_on_as(late: str, wait: str, expected: list[Any]) -> None:
    join = Join(settings(late=late, wait=wait), columns=COLUMNS)
    for part in STREAM:
        join.take(part, half)
    assert rows(join.rows) == expected
    assert rows(join.complete) == (
        [(1, "complete", 0.5, -1), (2, "complete", 3, 2), (3, "complete", -1, 2)] if late == "es_dfm" else []
    )
    assert join.held == 0
    assert join.counters["in_time"] == (1 if wait == "fixed" else 0)
    total = join.progressive.total()["all"]
    assert (total["examples"], total["positives"]) == (3, 2)
    assert total["bias"] == pytest.approx(1.5 / 2)


def test_the_oracle_trains_at_once_on_what_it_knows() -> None:
    join = Join(settings(late="oracle", wait="none"), columns=COLUMNS)
    join.take(events((0, 1, 1, -1), buy=1.0), half)
    join.take(events((1, 1, 2, -1), buy=0.0), half)
    join.take(events((2, 1, 3, -1)), half)
    assert rows(join.rows) == [(1, "positive", 0, -1), (2, "negative", 0, -1)]
    assert join.counters["without_label"] == 1
    assert join.progressive.total()["all"]["examples"] == 2


def test_a_conversion_may_come_before_its_click() -> None:
    join = Join(settings(), columns=COLUMNS)
    join.take(events((100, 2, 101, 1), (100, 2, 102, 7)), half)
    join.take(events((90, 1, 1, -1)), half)
    join.take(events((2 * HOUR, 0, 50, -1)), half)
    assert rows(join.rows) == [(1, "positive", round(10 / HOUR, 3), -1)]
    assert join.counters["without_click"] == 1  # of click 7, which never came


@pytest.mark.parametrize("apart", [True, False], ids=["event by event", "in one block"])
@pytest.mark.parametrize("late", ["naive", "es_dfm", "dfm"])
def test_how_events_come_together_does_not_decide(late: str, apart: bool) -> None:
    """Clicks 1 to 3 wait an hour and count for a day: of 1 in time, of 2 after its release, of 3 after its window."""
    stream = [(0.0, 1, 1, -1), (0.0, 1, 2, -1), (0.0, 1, 3, -1), (HOUR / 2, 2, 101, 1), (5 * HOUR, 0, 50, -1)]
    stream += [
        (6 * HOUR, 2, 102, 2),
        (6 * HOUR, 2, 111, 1),
        (24 * HOUR, 0, 51, -1),
        (25 * HOUR, 2, 103, 3),
        (26 * HOUR, 0, 52, -1),
    ]
    join = Join(settings(late=late), columns=COLUMNS)
    for part in [[event] for event in stream] if apart else [stream[:3], stream[3:]]:
        join.take(events(*part), half)
    roles = Counter((key, role) for key, role, *_ in rows(join.rows))
    late_rows = {"naive": [], "es_dfm": [(2, "late")], "dfm": [(2, "late"), (3, "ended")]}[late]
    assert roles == Counter([(1, "positive"), (2, "negative"), (3, "negative"), *late_rows])
    assert [join.counters[name] for name in ("in_time", "late", "without_click", "duplicates")] == [1, 1, 1, 1]
    assert join.progressive.total()["all"]["positives"] == 2


def test_duplicates_are_dropped() -> None:
    join = Join(settings(), columns=COLUMNS)
    join.take(events((0, 1, 1, -1), (0, 1, 1, -1)), half)
    join.take(events((1, 1, 1, -1), (2, 2, 101, 1), (2, 2, 102, 1), (3, 2, 103, 9), (3, 2, 104, 9)), half)
    join.flush()
    assert rows(join.rows) == [(1, "positive", round(2 / HOUR, 3), -1)]
    assert (join.counters["duplicates"], join.counters["clicks"], join.counters["flushed"]) == (4, 1, 1)


def test_one_wrong_time_does_not_move_the_clock() -> None:
    join = Join(settings(), columns=COLUMNS)
    join.take(events((0, 1, 1, -1), (9 * DAY, 1, 2, -1), (60, 1, 3, -1), (61, 1, 4, -1)), half)
    join.take(events((9 * DAY, 1, 5, -1)), half)
    join.take(events((-601 + 61, 1, 6, -1), (-500, 1, 7, -1)), half)
    assert (join.clock.now, join.clock.jumps, join.clock.too_late, join.clock.gaps) == (61.0, 2, 1, 0)
    assert join.counters["clicks"] == 4


def test_a_gap_of_the_stream_moves_the_clock() -> None:
    join = Join(settings(), columns=COLUMNS)
    join.take(events((0, 1, 1, -1), (1, 1, 2, -1)), half)
    join.take(events(*((5 * DAY + n, 1, 10 + n, -1) for n in range(9))), half)
    assert (join.clock.now, join.clock.jumps, join.clock.gaps) == (5 * DAY + 8, 0, 1)
    assert [row[:2] for row in rows(join.rows)] == [(1, "negative"), (2, "negative")]


def test_the_oldest_clicks_make_room() -> None:
    join = Join(settings(capacity=5000), columns=COLUMNS)
    for start in (0, 3000):
        join.take(events(*((n, 1, n, -1) for n in range(start, start + 3000))), half)
    assert (join.held, join.counters["evicted"]) == (5000, 1000)
    assert [row[:2] for row in rows(join.rows)[:1000]] == [(n, "negative") for n in range(1000)]
    assert join.complete.rows == 0  # what was evicted may still have converted
    assert join.progressive.total()["all"]["examples"] == 0


def test_young_ads_are_those_that_came_after_the_start() -> None:
    join = Join(settings(wait="none", late="naive"), columns=COLUMNS)
    for time, click in ((0, 0), (2 * HOUR, 1), (2.5 * HOUR, 4), (3.5 * HOUR, 7)):
        join.take(events((time, 1, click, -1), buy=1.0), half)
    # Ad 0 was there from the start; ad 1 came two hours after it, and is young for an hour.
    totals = join.progressive.total()
    assert (totals["all"]["examples"], totals["young"]["examples"]) == (4, 2)


def _random_stream(seed: int) -> list[Events]:
    draw = np.random.default_rng(seed)
    clicks = np.sort(draw.random(600)) * 2 * DAY
    converts = draw.random(600) < 0.3
    times = [(time, 1, n, -1) for n, time in enumerate(clicks)]
    times += [(clicks[n] + draw.exponential(4 * HOUR), 2, 1000 + n, n) for n in np.flatnonzero(converts).tolist()]
    times += [(time, 1, n, -1) for n, time in list(enumerate(clicks))[::50]]
    ordered = sorted(times)
    return [events(*ordered[start : start + 40]) for start in range(0, len(ordered), 40)]


@pytest.mark.parametrize("late", ["es_dfm", "dfm"])
@pytest.mark.parametrize("wait", ["fixed", "rule"])
def test_a_stream_that_is_interrupted_everywhere_is_as_one_that_is_not(late: str, wait: str) -> None:
    def run(*, interrupted: bool) -> tuple[Counter[Any], Any]:
        join = Join(settings(late=late, wait=wait), columns=COLUMNS)
        found: Counter[Any] = Counter()
        for part in _random_stream(4):
            join.take(part, half)
            if join.rows.rows > 10:
                taken = join.rows.take(10)
                found.update(zip(taken["row/id"].tolist(), taken["row/role"].tolist(), strict=True))
            if interrupted:
                state = unpack(pack(join.state()))
                join = Join(settings(late=late, wait=wait), columns=COLUMNS)
                join.restore(state)
        join.flush()
        numbers = (join.counters, join.waits.tolist(), join.release.decisions, join.progressive.closed)
        rest = [rows(join.rows), rows(join.complete), numbers, join.progressive.total()]
        return found, rest

    assert run(interrupted=True) == run(interrupted=False)


def test_each_click_is_trained_on_once_and_each_late_conversion_once() -> None:
    join = Join(settings(late="es_dfm", wait="rule"), columns=COLUMNS)
    for part in _random_stream(5):
        join.take(part, half)
    join.flush()
    roles = Counter((id_, role) for id_, role, *_ in rows(join.rows))
    assert set(roles.values()) == {1}
    released = Counter(id_ for id_, role in roles if role in ("negative", "positive"))
    assert released == Counter(range(600))
    counters = join.counters
    assert sum(role == "late" for _, role in roles) == counters["late"]
    assert sum(role == "positive" for _, role in roles) == counters["in_time"]
    assert (
        counters["in_time"] + counters["late"] + counters["without_click"] + len(join._early) == counters["conversions"]
    )
    assert sum(join.waits) == 600
