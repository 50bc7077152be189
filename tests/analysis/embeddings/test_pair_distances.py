"""Distances of pairs, contradictory pairs and their separation, by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fullrank.analysis.embeddings.embedding_spaces import Space, draw_pairs
from fullrank.analysis.embeddings.entanglement_figures import draw_pair_distances
from fullrank.analysis.embeddings.entanglement_results import analyse_entanglement
from fullrank.analysis.embeddings.pair_distances import (
    contradictory_pairs,
    label_difference,
    pair_distances,
    percentiles,
    separation,
)


def test_cosine_distance_by_hand() -> None:
    # (3, 4) with (3, 4): 0; with (-3, -4): 2; with (4, -3): 1; (0, 0) with anything: 1; (1, 0) with (3, 4): 1 - 3/5.
    users = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    items = np.array([[3.0, 4.0], [-3.0, -4.0], [4.0, -3.0]])
    pairs = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0]])
    np.testing.assert_allclose(pair_distances(users, items, pairs=pairs), [0.0, 2.0, 1.0, 1.0, 0.4], atol=1e-12)
    assert pair_distances(users, items, pairs=pairs[:0]).shape == (0,)


def test_percentiles_by_hand() -> None:
    # Ranks 1, 3.5, 3.5, 2 of 4, each less one half: 1/8, 6/8, 6/8, 3/8.
    np.testing.assert_allclose(percentiles(np.array([0.1, 0.9, 0.9, 0.3])), [0.125, 0.75, 0.75, 0.375])


def test_contradictory_pairs_by_hand() -> None:
    first, second = np.array([0.1, 0.9, 0.1, 0.5]), np.array([0.9, 0.2, 0.15, 0.1])
    found = contradictory_pairs(first, second, share=0.2)
    assert (found.near_first.tolist(), found.near_second.tolist()) == ([0], [1])
    with pytest.raises(ValueError, match="do not contradict each other"):
        contradictory_pairs(first, first, share=0.2)
    with pytest.raises(ValueError, match="between 0 and 1/2"):
        contradictory_pairs(first, second, share=0.5)


def test_separation_by_hand() -> None:
    # Of the four pairs of pairs (.1 < .2), (.1 < .4), (.3 > .2), (.3 < .4) three are in order.
    near, far = np.array([0.1, 0.3]), np.array([0.2, 0.4])
    assert separation(near, far).value == pytest.approx(0.75)
    assert separation(far, near).value == pytest.approx(0.25)
    same = separation(np.ones(9), np.ones(8))
    assert (same.value, same.p_value) == (0.5, 1.0)
    draw = np.random.default_rng(1)
    assert separation(draw.random(500), draw.random(500) + 0.2).p_value < 1e-9


def space(name: str, users: np.ndarray, items: np.ndarray, *, run: str) -> Space:
    trained = (np.ones(len(users), bool), np.ones(len(items), bool))
    return Space(run=run, set=name, users=users, items=items, trained=trained)


def planted(seed: int = 0) -> list[Space]:
    """Two tasks for which half of the items are opposite, a model of one embedding, and one with one for each task."""
    draw = np.random.default_rng(seed)
    users, items = draw.normal(size=(60, 4)), draw.normal(size=(50, 4))
    liked = np.where(np.arange(50) % 2, -1.0, 1.0)[:, np.newaxis] * items
    noise = [0.05 * draw.normal(size=(50, 4)) for _ in range(5)]
    return [
        space("set0", users, items + noise[0], run="click"),
        space("set0", users, liked + noise[1], run="like"),
        space("set0", users, items + noise[2], run="shared"),
        space("click", users, items + noise[3], run="stem"),
        space("like", users, liked + noise[4], run="stem"),
    ]


def test_one_space_cannot_serve_two_tasks_and_two_can(tmp_path: Path) -> None:
    spaces = planted()
    pairs = draw_pairs(spaces, number=4000, seed=1)
    assert pairs.min() >= 2, "rows 0 and 1 are no users"
    found = analyse_entanglement(spaces, tasks=("click", "like"), pairs=pairs, share=0.2)
    content = found.to_json()
    best = content["best"]
    assert best["shared"]["click"] + best["shared"]["like"] == pytest.approx(1.0)
    assert best["stem"]["click"] > 0.99
    assert best["stem"]["like"] > 0.99
    assert content["spaces"][0]["separation"] == {"click": 1.0, "like": 0.0}
    found.write_pairs(tmp_path / "pairs.parquet")
    table = pq.read_table(tmp_path / "pairs.parquet")
    assert table.num_rows == content["selected"]["click"] + content["selected"]["like"]
    assert table.column_names[:4] == ["user_row", "item_row", "near_in", "click/set0"]
    near = np.array(table["near_in"].to_pylist()) == "click"
    assert table["click/set0"].to_numpy()[near].max() <= 0.2
    draw_pair_distances(found, path=tmp_path / "distances.png")
    assert (tmp_path / "distances.png").stat().st_size > 10_000


def test_pairs_are_drawn_among_trained_rows_of_all_spaces() -> None:
    first, second, *_ = planted()
    first.trained[0][5:] = False
    second.trained[0][:4] = False
    assert set(draw_pairs([first, second], number=100, seed=1)[:, 0].tolist()) == {4}
    smaller = space("set0", first.users[:30], first.items, run="other")
    with pytest.raises(ValueError, match=r"not trained on the same ids.*other/set0 30 x 50"):
        draw_pairs([first, smaller], number=10, seed=1)
    first.trained[1][:] = False
    with pytest.raises(ValueError, match="was trained in all"):
        draw_pairs([first, second], number=10, seed=1)


def test_label_difference_by_hand() -> None:
    # Distances 0, 2 | 2, 4 of negatives and positives, one label not observed: means 1 and 3, deviation sqrt 2.
    distances, labels = np.array([0.0, 2.0, 2.0, 4.0, 9.0]), np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    assert label_difference(distances, labels) == pytest.approx(-(2**0.5))
    assert label_difference(distances, 1 - labels) == pytest.approx(2**0.5)
    assert label_difference(distances, np.ones(5)) == 0.0


def test_a_space_in_which_near_is_unwanted_is_turned_round() -> None:
    click, like, *others = planted()
    pairs = draw_pairs([click, like], number=4000, seed=1)
    labels = np.stack([pair_distances(s.users, s.items, pairs=pairs) < 1 for s in (click, like)], axis=1).astype(float)
    against = [dataclasses.replace(space, items=-space.items) for space in (click, like, *others)]
    found = analyse_entanglement(against, tasks=("click", "like"), pairs=pairs, share=0.2, shown=(pairs, labels))
    straight = analyse_entanglement([click, like, *others], tasks=("click", "like"), pairs=pairs, share=0.2)
    assert [space.turned for space in found.spaces] == [True] * 5
    assert found.to_json()["best"]["stem"] == pytest.approx(straight.to_json()["best"]["stem"])
