"""The graph of users and items, and samples of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fullrank.models.graph import BipartiteGraph, GraphSage, edge_batches, sample_neighbours
from fullrank.models.graph.batches import ABSENT


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.fixture
def small() -> BipartiteGraph:
    """Users 0, 1, 2; items 3, 4 of one domain and 5 of another.

    0-3, 0-4, 1-3 (clicked twice), 1-5; user 2 clicked nothing.
    """
    return BipartiteGraph.from_clicks([(ints(1, 0, 0, 1), ints(0, 1, 0, 0)), (ints(1), ints(0))], users=3, items=[2, 1])


def random_graph(seed: int = 0, users: int = 50, items: int = 20, clicks: int = 300) -> BipartiteGraph:
    draw = np.random.default_rng(seed)
    pairs = (draw.integers(0, users, clicks), draw.integers(0, items, clicks))
    return BipartiteGraph.from_clicks([pairs], users=users, items=[items])


def test_rows_by_hand(small: BipartiteGraph) -> None:
    np.testing.assert_array_equal(small.edges, [[0, 3], [0, 4], [1, 3], [1, 5]])
    np.testing.assert_array_equal(small.offsets, [0, 2, 4, 4, 6, 7, 8])
    np.testing.assert_array_equal(small.neighbours, [3, 4, 3, 5, 0, 1, 0, 1])
    np.testing.assert_array_equal(small.positions, [[0, 0], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(small.degrees, [2, 2, 0, 2, 1, 1])
    np.testing.assert_array_equal(small.types, [0, 0, 0, 1, 1, 2])
    np.testing.assert_array_equal(
        small.has_edges(ints(0, 1, 2)[:, np.newaxis], ints(3, 4, 5)),
        [[True, True, False], [True, False, True], [False, False, False]],
    )


def test_rows_agree_with_a_dictionary() -> None:
    graph = random_graph()
    near: dict[int, list[int]] = {node: [] for node in range(graph.nodes)}
    for user, item in graph.edges.tolist():
        near[user].append(item)
        near[item].append(user)
    for node in range(graph.nodes):
        assert graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]].tolist() == sorted(near[node])
    for ends, places in zip(graph.edges, graph.positions, strict=True):
        for end, other, place in zip(ends, ends[::-1], places, strict=True):
            assert graph.neighbours[graph.offsets[end] + place] == other


def test_a_graph_without_clicks_is_empty() -> None:
    graph = BipartiteGraph.from_clicks([(ints(), ints())], users=2, items=[3])
    assert graph.nodes == 5
    assert not graph.has_edges(ints(0), ints(2)).any()
    sampled = sample_neighbours(graph, ints(0, 4), count=2, draw=np.random.default_rng(0))
    np.testing.assert_array_equal(sampled, [[ABSENT, ABSENT], [ABSENT, ABSENT]])


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ([(ints(0, 3), ints(0, 0))], "Domain 0: user number outside 0..2"),
        ([(ints(0), ints(-1))], "Domain 0: item number outside 0..1"),
        ([], "clicks of 0 domains and items of 1"),
    ],
)
def test_numbers_out_of_range_are_refused(clicks: list[tuple[np.ndarray, np.ndarray]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BipartiteGraph.from_clicks(clicks, users=3, items=[2])


def test_samples_are_neighbours_and_uniform() -> None:
    graph = random_graph()
    node = int(np.argmax(graph.degrees))
    degree = int(graph.degrees[node])
    true = graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]]
    sampled = sample_neighbours(graph, np.full(200, node), count=100, draw=np.random.default_rng(1))
    counts = np.array([(sampled == other).sum() for other in true])
    assert counts.sum() == 20_000
    # Chi-squared with degree - 1 degrees of freedom: mean k, deviation sqrt(2 k).
    expected = 20_000 / degree
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert statistic < degree - 1 + 5 * np.sqrt(2 * (degree - 1))


def test_absent_and_lonely_nodes_have_no_neighbours(small: BipartiteGraph) -> None:
    sampled = sample_neighbours(small, ints(2, ABSENT, 4), count=3, draw=np.random.default_rng(0))
    np.testing.assert_array_equal(sampled, [[ABSENT] * 3, [ABSENT] * 3, [0] * 3])


def test_the_neighbour_left_out_is_never_drawn_and_all_others_are(small: BipartiteGraph) -> None:
    draw = np.random.default_rng(0)
    # User 0 without item 3, without item 4, with both; item 4 without its only user.
    sampled = sample_neighbours(small, ints(0, 0, 0, 4), count=50, draw=draw, leave_out=ints(0, 1, -1, 0))
    assert [set(row) for row in sampled.tolist()] == [{4}, {3}, {3, 4}, {ABSENT}]


def test_batches_hold_every_edge_once_and_hide_it_from_its_ends() -> None:
    graph = random_graph()
    model = GraphSage(graph.sizes, width=2)
    batches = list(
        edge_batches(
            graph,
            model,
            batch_size=32,
            shared_negatives=7,
            neighbours=(40, 3),
            id_dropout=0.0,
            draw=np.random.default_rng(2),
        )
    )
    seen: list[tuple[int, int]] = []
    for batch in batches:
        # Row r is node r - 1; row 0 is not a node.
        users, items, negative_users, negative_items = np.split(batch.own - 1, np.cumsum([batch.edges, batch.edges, 7]))
        seen.extend(zip(users.tolist(), items.tolist(), strict=True))
        assert not (batch.near[: batch.edges] - 1 == items[:, np.newaxis]).any()
        assert not (batch.near[batch.edges : 2 * batch.edges] - 1 == users[:, np.newaxis]).any()
        assert (negative_users < 50).all()
        assert (negative_items >= 50).all()
        assert batch.near.shape == (2 * batch.edges + 14, 40)
        assert batch.far.shape == (2 * batch.edges + 14, 40, 3)
        np.testing.assert_array_equal(batch.user_pairs, ~graph.has_edges(users[:, np.newaxis], negative_items))
        np.testing.assert_array_equal(batch.item_pairs, ~graph.has_edges(negative_users, items[:, np.newaxis]))
    assert sorted(map(list, seen)) == graph.edges.tolist()


def test_a_batch_and_its_negatives_are_of_one_domain() -> None:
    draw = np.random.default_rng(0)
    clicks = [(draw.integers(0, 10, 60), draw.integers(0, 5, 60)) for _ in range(2)]
    graph = BipartiteGraph.from_clicks(clicks, users=10, items=[5, 5])
    options: dict[str, Any] = {"batch_size": 8, "shared_negatives": 4, "neighbours": (3, 2), "id_dropout": 0.0}
    domains = []
    for batch in edge_batches(graph, GraphSage(graph.sizes, width=2), draw=draw, **options):
        nodes = batch.own - 1
        items = np.concatenate([nodes[batch.edges : 2 * batch.edges], nodes[-4:]])
        assert len(set(graph.types[items])) == 1
        domains.append(int(graph.types[items[0]]))
    assert set(domains) == {1, 2}


def test_id_dropout_reads_the_row_of_new_nodes_of_like_degree(small: BipartiteGraph) -> None:
    model = GraphSage(small.sizes, width=2)
    # Padding and six nodes, then 32 rows a type; degrees 2, 2, 0, 2, 1, 1 have floor(log2(1 + k)) 1, 1, 0, 1, 1, 1.
    np.testing.assert_array_equal(model.new_rows(small), [8, 8, 7, 7 + 32 + 1, 7 + 32 + 1, 7 + 64 + 1])
    (first, second) = edge_batches(
        small,
        model,
        batch_size=8,
        shared_negatives=1,
        neighbours=(2, 2),
        id_dropout=1.0 - 1e-12,
        draw=np.random.default_rng(0),
    )
    assert min(first.own.min(), second.own.min()) >= 7
