"""The release rule: by hand, its properties over all counts, keys that fall back, and counts in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank.trainers.streaming.key_counts import KeyCounts
from fullrank.trainers.streaming.release import Release, RuleSettings
from fullrank.trainers.streaming.release_rule import deviation, waiting_time

counts = st.floats(0, 1e7)
rates = st.floats(0, 1)
RULE = {"window": 3600.0, "threshold": 2.0, "cap": 7200.0}


def test_deviation_by_hand() -> None:
    # 100 clicks at 10 %: 10 expected with deviation sqrt(100 * .1 * .9) = 3. 16 are two deviations more, 1 three less.
    z = deviation(conversions=[10, 16, 1], clicks=100, rate=0.1)
    np.testing.assert_allclose(z, [0.0, 2.0, -3.0])


def test_waiting_time_by_hand() -> None:
    # |z| = 2 is the threshold: no wait. |z| = 3 is half of it more: half a window. |z| = 6: two windows, the cap.
    waits = waiting_time(conversions=[10, 16, 4, 19, 1, 28, 40], clicks=100, rate=0.1, **RULE)
    np.testing.assert_allclose(waits, [0.0, 0.0, 0.0, 1800.0, 1800.0, 7200.0, 7200.0], atol=1e-9)


def test_nothing_is_expected_of_nothing() -> None:
    assert waiting_time(conversions=0, clicks=0, rate=0.1, **RULE) == 0.0
    assert waiting_time(conversions=0, clicks=50, rate=0.0, **RULE) == 0.0
    assert waiting_time(conversions=1, clicks=50, rate=0.0, **RULE) == 7200.0
    assert deviation(conversions=3, clicks=5, rate=1.0) == -math.inf


@given(counts, counts, counts, rates)
def test_wait_grows_with_the_deviation_and_stays_below_the_cap(a: float, b: float, clicks: float, rate: float) -> None:
    z = np.abs(deviation(conversions=[a, b], clicks=clicks, rate=rate))
    waits = waiting_time(conversions=[a, b], clicks=clicks, rate=rate, **RULE)
    assert ((waits >= 0.0) & (waits <= RULE["cap"])).all()
    assert (waits[z <= RULE["threshold"]] == 0.0).all()
    assert (waits[z > 1.0001 * RULE["threshold"]] > 0.0).all()
    low, high = np.argsort(z)
    assert waits[low] <= waits[high]


@pytest.mark.parametrize("wrong", [{"window": 0.0}, {"threshold": 0.0}, {"cap": -1.0}, {"rate": 1.5}, {"clicks": -1}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"release rule needs|Counts are"):
        waiting_time(**{"conversions": 1, "clicks": 10, "rate": 0.1, **RULE, **wrong})


def test_counts_decay_and_keep_their_deviation() -> None:
    held = KeyCounts(levels=1, capacity=9, window=10.0, history=100.0)
    held.add_clicks(held.rows(level=0, keys=["a", "a", "b"], now=0.0))
    held.add_conversions(held.rows(level=0, keys=["a"], now=0.0))
    later = held.counts(held.rows(level=0, keys=["a", "b", "c"], now=10.0))
    # a: n = 2/e, sum of squares 2/e^2, so n^2 / squares = 2 clicks; one conversion of weight 1/e is c n / squares = 1.
    np.testing.assert_allclose(later.clicks, [2.0, 1.0, 0.0])
    np.testing.assert_allclose(later.conversions, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(later.rate, [0.5, 0.0, 0.0])
    np.testing.assert_allclose(later.past_conversions, [math.exp(-0.1), 0.0, 0.0])


def test_steady_clicks_count_for_twice_the_window() -> None:
    held = KeyCounts(levels=1, capacity=9, window=100.0, history=100.0)
    for second in range(2000):
        held.add_clicks(held.rows(level=0, keys=[7], now=float(second)))
    assert held.counts(held.rows(level=0, keys=[7], now=1999.0)).clicks[0] == pytest.approx(200.0, rel=0.01)


def test_the_least_recent_keys_make_room() -> None:
    held = KeyCounts(levels=2, capacity=4, window=1.0, history=1.0)
    held.rows(level=0, keys=[1], now=0.0)
    held.rows(level=0, keys=[2], now=1.0)
    held.rows(level=1, keys=[1], now=2.0)
    held.rows(level=0, keys=[1], now=3.0)
    held.rows(level=0, keys=[3], now=4.0)
    assert held.evicted == 0
    held.rows(level=0, keys=[4, 1], now=5.0)
    assert (len(held), held.evicted) == (4, 1)
    again = held.rows(level=0, keys=[1, 2], now=6.0)
    np.testing.assert_array_equal(held.first_seen(again), [0.0, 6.0])  # 2 was evicted, 1 was not
    with pytest.raises(ValueError, match="room for 4"):
        held.rows(level=0, keys=range(5), now=7.0)


@pytest.mark.parametrize("keys", [[3, -1, 9], [b"\x00a", b"", b"ad\x00"]])
def test_counts_return_from_their_state(keys: list[object]) -> None:
    held = KeyCounts(levels=2, capacity=4, window=5.0, history=50.0)
    held.add_clicks(held.rows(level=1, keys=keys, now=2.0))
    other = KeyCounts(levels=2, capacity=4, window=5.0, history=50.0)
    other.restore(held.state())
    for each in (held, other):
        each.add_conversions(each.rows(level=1, keys=keys[:1], now=4.0))
    ours, theirs = (each.counts(each.rows(level=1, keys=keys, now=4.0)) for each in (held, other))
    for name in ("clicks", "conversions", "rate", "past_conversions"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def _filled(*, clicks: int, conversions: int) -> Release:
    """An ad 1 of advertiser 5 with a past of 10 %, and so many clicks and conversions in the last window."""
    settings = RuleSettings(window=3600.0, history=1e9, threshold=2.0, cap=7200.0, minimum=5.0, capacity=50)
    release = Release(levels=2, settings=settings)
    past = 10_000
    release.add_clicks([[1] * past, [5] * past], number=past, now=0.0)
    release.add_conversions([[1] * (past // 10), [5] * (past // 10)], number=past // 10, now=0.0)
    now = 100 * 3600.0  # nothing of the past is left in the window
    release.add_clicks([[1] * clicks, [5] * clicks], number=clicks, now=now)
    release.add_conversions([[1] * conversions, [5] * conversions], number=conversions, now=now)
    return release


@pytest.mark.parametrize(("conversions", "decision"), [(10, "at_once"), (0, "waited"), (90, "capped")])
def test_an_ad_decides_by_its_own_counts(conversions: int, decision: str) -> None:
    release = _filled(clicks=100, conversions=conversions)
    release.waits([[1], [5]], number=1, now=100 * 3600.0)
    assert release.decisions == {"at_once": 0, "waited": 0, "capped": 0, "fell_back": 0, "undecided": 0, decision: 1}


def test_a_young_ad_falls_back_to_its_advertiser_and_then_to_all() -> None:
    release = _filled(clicks=100, conversions=0)
    waits = release.waits([[1, 2, 3], [5, 5, 6]], number=3, now=100 * 3600.0)
    assert waits[0] > 0.0
    np.testing.assert_allclose(waits, waits[0], rtol=0.01)  # the same counts at each level
    assert release.decisions == {"at_once": 0, "waited": 3, "capped": 0, "fell_back": 2, "undecided": 0}


def test_without_a_past_nothing_waits() -> None:
    settings = RuleSettings(window=1.0, history=1.0, threshold=2.0, cap=9.0, minimum=5.0, capacity=9)
    release = Release(levels=0, settings=settings)
    assert release.waits([], number=2, now=0.0).tolist() == [0.0, 0.0]
    assert release.decisions["undecided"] == 2
    other = Release(levels=0, settings=settings)
    other.restore(release.state())
    assert other.decisions == release.decisions
