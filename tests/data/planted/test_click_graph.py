"""People and ads that earlier clicks connect: what the clicks tell, and the shuffled vectors that tell nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.data.planted.click_graph import ClickGraph
from fullrank.data.planted.mechanism import Draw, Drawn

Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Places:
    """Vectors that hold the number of a person, or of an ad."""

    width: int = 2

    def __call__(self, clicks: tuple[Ints, Ints], *, users: int, ads: int, seed: int) -> Any:
        return tuple(np.stack([np.arange(size), np.ones(size)], axis=1) for size in (users, ads))


def drawn(mechanism: ClickGraph, *, rows: int) -> Drawn:
    planted = mechanism.plant(np.random.default_rng(3))
    return planted(Draw(random=np.random.default_rng(4), rows=rows, split="train"))


def test_clicks_of_a_graph_tell_of_the_affinity_or_not() -> None:
    def clicks_of(sharpness: float) -> tuple[float, float]:
        given: list[tuple[Ints, Ints]] = []

        @dataclasses.dataclass(frozen=True)
        class Kept(Places):
            def __call__(self, clicks: tuple[Ints, Ints], *, users: int, ads: int, seed: int) -> Any:
                given.append(clicks)
                return super().__call__(clicks, users=users, ads=ads, seed=seed)

        mechanism = ClickGraph(embed=Kept(), users=200, ads=50, clicks=5, sharpness=sharpness)
        found = drawn(mechanism, rows=60_000)
        affinity = np.full((200, 50), np.nan)
        affinity[found.columns["user_id"], found.columns["ad_id"]] = found.effects["affinity"]
        (of_users, of_ads) = given[0]
        assert len(set(zip(of_users.tolist(), of_ads.tolist(), strict=True))) == 1000
        return float(np.nanmean(affinity[of_users, of_ads])), float(np.nanmean(affinity))

    clicked, other = clicks_of(4.0)
    assert clicked > other + 1.0
    clicked, other = clicks_of(0.0)
    assert abs(clicked - other) < 0.2


def test_shuffled_vectors_are_those_of_other_people_and_ads() -> None:
    columns = drawn(ClickGraph(embed=Places(), users=200, ads=50, clicks=5), rows=20_000).columns
    for name, owner in (("user_vector", "user_id"), ("ad_vector", "ad_id")):
        true, shuffled = columns[name], columns[f"shuffled_{name}"]
        ids, first = np.unique(columns[owner], return_index=True)
        # Each owner has one shuffled vector in all rows, and all of them together are the true ones.
        np.testing.assert_array_equal(shuffled, shuffled[first][np.searchsorted(ids, columns[owner])])
        one, other = (sorted(map(tuple, each[first].tolist())) for each in (true, shuffled))
        assert one == other
        assert np.mean((true[first] == shuffled[first]).all(axis=1)) < 0.2
