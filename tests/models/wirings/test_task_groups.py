"""Tasks are grouped by volume: by hand, and what always holds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullrank.models import group_by_volume


def test_by_hand() -> None:
    # 100 in all, three towers. a: 60 >= 100 / 3, alone. 40 are left for two: b, 15, is less than 20, with c 27.
    # The rest is the last group. Tasks and groups stand in the order they came in.
    volumes = {"d": 8.0, "a": 60.0, "e": 5.0, "c": 12.0, "b": 15.0}
    assert group_by_volume(volumes, towers=3) == (("d", "e"), ("a",), ("c", "b"))


def test_a_tower_each_and_one_for_all() -> None:
    volumes = {"a": 0.0, "b": 0.0, "c": 7.0}
    assert group_by_volume(volumes, towers=3) == (("a",), ("b",), ("c",))
    assert group_by_volume(volumes, towers=1) == (("a", "b", "c"),)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.data())
def test_every_task_stands_in_one_group_and_none_is_empty(values: list[float], data: st.DataObject) -> None:
    volumes = {f"t{number}": value for number, value in enumerate(values)}
    towers = data.draw(st.integers(1, len(values)))
    groups = group_by_volume(volumes, towers=towers)
    assert len(groups) == towers
    assert all(groups)
    assert sorted(task for group in groups for task in group) == sorted(volumes)
    assert groups[0][0] == "t0"
    # Groups are runs in the order of volumes.
    spans = sorted((min(volumes[t] for t in g), max(volumes[t] for t in g)) for g in groups)
    assert all(below[1] <= above[0] for below, above in itertools.pairwise(spans))


def test_what_cannot_be_grouped() -> None:
    for towers in (0, 3):
        with pytest.raises(ValueError, match=f"2 tasks make 1 to 2 groups. Received: towers={towers}"):
            group_by_volume({"a": 1.0, "b": 1.0}, towers=towers)
    for volume in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="volume of task 'a'"):
            group_by_volume({"a": volume}, towers=1)
