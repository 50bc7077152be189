"""Counts, rates and histories of the past: against a slow reference, and blind to the present and the future."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank.data.sources.past import latest, past_count, past_events, past_rate, past_sum
from fullrank.data.sources.source import at_random, bounds, by_position

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40)


def columns(
    events: list[tuple[int, int, float]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    key, time, value = zip(*events, strict=True)
    return np.array(key), np.array(time), np.array(value)


def slow_past(key: npt.NDArray[np.int64], time: npt.NDArray[np.int64], row: int) -> list[int]:
    """Rows of the same key with a smaller time, oldest first, ties in the order of the input."""
    past = [other for other in range(len(key)) if key[other] == key[row] and time[other] < time[row]]
    return sorted(past, key=lambda other: int(time[other]))


def test_golden_counts_and_rates() -> None:
    # Key 7 at times 10, 20, 20, 30: the two events of time 20 see only the first, the last sees three.
    key, time = np.array([7, 7, 7, 8, 7]), np.array([10, 20, 20, 5, 30])
    value = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert past_count(key=key, time=time).tolist() == [0, 1, 1, 0, 3]
    assert past_sum(key=key, time=time, value=value).tolist() == [0, 1, 1, 0, 2]
    # (sum + 2 * .25) / (count + 2): .5/2, 1.5/3, 1.5/3, .5/2, 2.5/5
    rate = past_rate(key=key, time=time, value=value, prior=0.25, strength=2.0)
    assert rate == pytest.approx([0.25, 0.5, 0.5, 0.25, 0.5])


def test_golden_history_keeps_the_most_recent_events_oldest_first() -> None:
    history = past_events(key=np.zeros(4, int), time=np.array([40, 10, 30, 20]), most=2)
    # Row 0 (time 40) sees rows 1, 3, 2 and keeps the last two; row 1 sees none; row 2 sees 1, 3; row 3 sees 1.
    assert history.lengths.tolist() == [2, 0, 2, 1]
    assert history.events.tolist() == [3, 2, 1, 3, 1]


@given(events=EVENTS, most=st.integers(1, 5))
def test_equals_the_slow_reference(events: list[tuple[int, int, float]], most: int) -> None:
    key, time, value = columns(events)
    count, total = past_count(key=key, time=time), past_sum(key=key, time=time, value=value)
    history = past_events(key=key, time=time, most=most)
    split = np.split(history.events, np.cumsum(history.lengths)[:-1])
    clicks = past_events(key=key, time=time, most=most, where=value == 1)
    clicked = np.split(clicks.events, np.cumsum(clicks.lengths)[:-1])
    newest = latest(history, value).to_pylist()
    for row in range(len(key)):
        past = slow_past(key, time, row)
        assert count[row] == len(past)
        assert total[row] == pytest.approx(value[past].sum())
        assert split[row].tolist() == past[-most:]
        assert clicked[row].tolist() == [other for other in past if value[other] == 1][-most:]
        assert newest[row] == (value[past[-1]] if past else None)


@given(events=EVENTS, row=st.integers(0, 39))
def test_neither_the_present_nor_the_future_is_seen(events: list[tuple[int, int, float]], row: int) -> None:
    key, time, value = columns(events)
    row %= len(key)
    changed = np.where(time >= time[row], 1 - value, value)
    before = past_rate(key=key, time=time, value=value, prior=0.5, strength=5.0)
    after = past_rate(key=key, time=time, value=changed, prior=0.5, strength=5.0)
    assert before[row] == after[row]
    history = past_events(key=key, time=time, most=9)
    assert np.all(time[history.events] < np.repeat(time, history.lengths))


def test_text_keys_and_no_rows_at_all() -> None:
    assert past_count(key=np.array(["b", "a", "b"]), time=np.array([1, 2, 3])).tolist() == [0, 0, 1]
    nothing = np.zeros(0, np.int64)
    assert past_events(key=nothing, time=nothing, most=3).events.tolist() == []


@given(rows=st.integers(10, 500), seed=st.integers(0, 5))
def test_splits_hold_every_row_once_in_shares_of_80_10_10(rows: int, seed: int) -> None:
    for splits in (by_position(rows), at_random(rows, seed=seed)):
        assert list(splits) == ["train", "validation", "test"]
        together = np.concatenate(list(splits.values()))
        assert sorted(together.tolist()) == list(range(rows))
        assert abs(len(splits["train"]) - 0.8 * rows) <= 0.5
        assert min(len(positions) for positions in splits.values()) > 0
    in_time = by_position(rows)
    assert in_time["train"].max() < in_time["validation"].min() <= in_time["validation"].max() < in_time["test"].min()


def test_random_splits_follow_the_seed() -> None:
    assert at_random(50, seed=1)["test"].tolist() == at_random(50, seed=1)["test"].tolist()
    assert at_random(50, seed=1)["test"].tolist() != at_random(50, seed=2)["test"].tolist()
    assert np.all(np.diff(at_random(50, seed=1)["train"]) > 0)


def test_movielens_size_splits_at_the_published_positions() -> None:
    assert bounds(100_000) == {"train": (0, 80_000), "validation": (80_000, 90_000), "test": (90_000, 100_000)}


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="9 rows are too few"):
        by_position(9)
