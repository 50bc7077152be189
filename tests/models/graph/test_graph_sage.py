"""GraphSAGE: its layer, its loss, what it learns and what its vectors depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers import MeanAggregator
from fullrank.models.graph import BipartiteGraph, GraphSage, edge_loss, embed, train_graph, untrained_loss


def slow_step(kernel: np.ndarray, own: np.ndarray, near: list[np.ndarray], *, relu: bool) -> np.ndarray:
    """Algorithm 1, lines 4 to 7, of one node."""
    mean = sum(near, np.zeros_like(own)) / max(len(near), 1)
    state = np.concatenate([own, mean]) @ kernel
    state = np.maximum(state, 0) if relu else state
    norm = np.linalg.norm(state)
    return np.asarray(state / norm if norm else state)


def test_a_state_by_hand() -> None:
    # Neighbours (2, 0) and (4, 2) have the mean (3, 1); the masked one does not count. [1, 0, 3, 1] W with W as below
    # is (1 + 3, 0 + 1 - 5) = (4, -4), and after the ReLU (4, 0), of length 4: (1, 0). Linear: (1, -1) / sqrt(2).
    kernel = np.array([[1, -5], [0, 0], [1, 0], [0, 1]], np.float32)
    inputs = (
        tf.constant([[1.0, 0.0]]),
        tf.constant([[[2.0, 0.0], [100.0, 100.0], [4.0, 2.0]]]),
        tf.constant([[True, False, True]]),
    )
    for activation, expected in (("relu", [1.0, 0.0]), ("linear", [np.sqrt(0.5), -np.sqrt(0.5)])):
        layer = MeanAggregator(2, activation=activation)
        layer.build((None, 2))
        layer.set_weights([kernel])
        np.testing.assert_allclose(layer(*inputs)[0], expected, rtol=1e-6)


def test_layer_agrees_with_a_loop_and_a_node_without_neighbours_reads_itself() -> None:
    draw = np.random.default_rng(0)
    own = draw.normal(size=(2, 4, 3)).astype(np.float32)
    near = draw.normal(size=(2, 4, 5, 3)).astype(np.float32)
    mask = draw.random((2, 4, 5)) < 0.6
    mask[0, 0] = False
    layer = MeanAggregator(6)
    found = layer(own, near, mask).numpy()
    (kernel,) = layer.get_weights()
    for at in np.ndindex(2, 4):
        expected = slow_step(kernel, own[at], list(near[at][mask[at]]), relu=True)
        np.testing.assert_allclose(found[at], expected, rtol=1e-5, atol=1e-6)


def test_errors_of_the_layer() -> None:
    with pytest.raises(ValueError, match=r"units of whole numbers >= 1\. Received: units=0"):
        MeanAggregator(0)
    with pytest.raises(ValueError, match="known width"):
        MeanAggregator(2).build((None, None))


def test_loss_by_hand() -> None:
    # t = 1, Q = 2, one edge of cosine 0: log 2. The user's negatives have cosines 1 and 0, of which only the first
    # counts: softplus(1) = 1.31326. The item has no negative that counts: 0. log 2 + 2 (1.31326 + 0) / 2 = 2.00641.
    east, north = [1.0, 0.0], [0.0, 1.0]
    loss = edge_loss(
        users=tf.constant([east]),
        items=tf.constant([north]),
        negative_users=tf.constant([north, north]),
        negative_items=tf.constant([east, north]),
        user_pairs=tf.constant([[True, False]]),
        item_pairs=tf.constant([[False, False]]),
        negatives=2.0,
        temperature=1.0,
    )
    np.testing.assert_allclose(float(loss), np.log(2) + np.log1p(np.e), rtol=1e-6)


def test_loss_agrees_with_loops() -> None:
    draw = np.random.default_rng(1)
    users, items, negative_users, negative_items = (draw.normal(size=(n, 4)).astype(np.float32) for n in (3, 3, 5, 5))
    pairs = [draw.random((3, 5)) < 0.7 for _ in range(2)]

    def softplus(x: float) -> float:
        return float(np.log1p(np.exp(x)))

    total = 0.0
    for b in range(3):
        total += softplus(-users[b] @ items[b] / 0.5) / 3
        for anchor, others, chosen in (
            (users[b], negative_items, pairs[0][b]),
            (items[b], negative_users, pairs[1][b]),
        ):
            terms = [softplus(anchor @ others[n] / 0.5) for n in range(5) if chosen[n]]
            total += 3.0 / 2 * sum(terms) / max(len(terms), 1) / 3
    found = edge_loss(
        users=tf.constant(users),
        items=tf.constant(items),
        negative_users=tf.constant(negative_users),
        negative_items=tf.constant(negative_items),
        user_pairs=tf.constant(pairs[0]),
        item_pairs=tf.constant(pairs[1]),
        negatives=3.0,
        temperature=0.5,
    )
    np.testing.assert_allclose(float(found), total, rtol=1e-5)


def test_loss_of_equal_cosines_is_least_where_it_is_said_to_be() -> None:
    # Q = 1 is a fair coin twice: 2 log 2. For Q = 5, no logit on a fine grid gets below it, and one comes close.
    assert untrained_loss(negatives=1.0) == pytest.approx(2 * np.log(2))
    logits = np.linspace(-5, 5, 10_001)
    losses = np.logaddexp(0, -logits) + 5 * np.logaddexp(0, logits)
    assert untrained_loss(negatives=5.0) == pytest.approx(losses.min(), abs=1e-6)


def two_communities(seed: int = 0) -> BipartiteGraph:
    """60 users and 30 items; even users click even items, odd users odd ones, 6 each."""
    draw = np.random.default_rng(seed)
    users = np.repeat(np.arange(60), 6)
    items = np.concatenate([2 * draw.permutation(15)[:6] + user % 2 for user in range(60)])
    return BipartiteGraph.from_clicks([(users, items)], users=60, items=[30])


@pytest.fixture(scope="module")
def trained() -> tuple[GraphSage, BipartiteGraph, list[float]]:
    """A model of two communities; tests only read it."""
    keras.utils.set_random_seed(3)
    graph = two_communities()
    model = GraphSage(graph.sizes, width=8)
    options: dict[str, Any] = {"epochs": 30, "batch_size": 32, "shared_negatives": 16, "neighbours": (5, 3)}
    losses = train_graph(model, graph, progress=False, **options)
    return model, graph, losses


def test_planted_communities_are_found(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model, graph, losses = trained
    assert losses[-1] < losses[0]
    vectors = embed(model, graph)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    same = np.arange(60)[:, np.newaxis] % 2 == np.arange(30) % 2
    no_edge = ~graph.has_edges(np.arange(60)[:, np.newaxis], 60 + np.arange(30))
    cosines = vectors[:60] @ vectors[60:].T
    # Pairs that were never clicked: what is alike, not what was learned by heart.
    assert cosines[same & no_edge].mean() > cosines[~same].mean() + 0.5


def test_vectors_agree_with_algorithm_1_in_loops(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model, graph, _ = trained
    table = model.table.numpy()
    state = table[1 : 1 + graph.nodes]
    for step, relu in ((model.first, True), (model.second, False)):
        (kernel,) = step.get_weights()
        near = [graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]] for node in range(graph.nodes)]
        state = np.stack(
            [slow_step(kernel, state[node], list(state[near[node]]), relu=relu) for node in range(graph.nodes)]
        )
    np.testing.assert_allclose(embed(model, graph), state, rtol=1e-4, atol=1e-5)


def test_model_on_all_neighbours_equals_embed(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model, graph, _ = trained
    # Users have six neighbours each; pad those of items to the largest degree.
    most = int(graph.degrees.max())
    rows = np.zeros((graph.nodes, most), np.int64)
    for node in range(graph.nodes):
        near = graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]]
        rows[node, : len(near)] = near + 1
    far = np.where((rows > 0)[..., np.newaxis], rows[np.maximum(rows - 1, 0)], 0)
    found = model(tf.constant(model.known_rows()), tf.constant(rows), tf.constant(far))
    np.testing.assert_allclose(found, embed(model, graph), rtol=1e-4, atol=1e-5)


def test_new_nodes_get_the_vector_of_their_neighbours(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model, graph, _ = trained
    # Two new users, one in each community, four new clicks each; all items are known.
    users = np.concatenate([graph.edges[:, 0], np.repeat([60, 61], 4)])
    items = np.concatenate([graph.edges[:, 1] - 60, [0, 4, 8, 12, 1, 5, 9, 13]])
    larger = BipartiteGraph.from_clicks([(users, items)], users=62, items=[30])
    known = np.concatenate([np.arange(60), [-1, -1], 60 + np.arange(30)])
    vectors = embed(model, larger, known=known)
    cosines = vectors[60:62] @ vectors[62:].T
    even = np.arange(30) % 2 == 0
    assert cosines[0, even].mean() > cosines[0, ~even].mean() + 0.3
    assert cosines[1, ~even].mean() > cosines[1, even].mean() + 0.3


def test_a_vector_depends_on_two_steps_of_its_graph_only(
    trained: tuple[GraphSage, BipartiteGraph, list[float]],
) -> None:
    model, graph, _ = trained
    # Another edge between an odd user and an odd item; no path leads from there to the even community.
    users = np.concatenate([graph.edges[:, 0], [1]])
    free = next(item for item in range(1, 30, 2) if not graph.has_edges(np.array([1]), np.array([60 + item]))[0])
    items = np.concatenate([graph.edges[:, 1] - 60, [free]])
    changed = BipartiteGraph.from_clicks([(users, items)], users=60, items=[30])
    before, after = embed(model, graph), embed(model, changed)
    even = np.concatenate([np.arange(60), np.arange(30)]) % 2 == 0
    np.testing.assert_array_equal(before[even], after[even])
    assert np.abs(before[1] - after[1]).max() > 1e-4


def test_the_same_seed_gives_the_same_vectors() -> None:
    def vectors() -> np.ndarray:
        keras.utils.set_random_seed(1)
        graph = two_communities()
        model = GraphSage(graph.sizes, width=4)
        train_graph(model, graph, epochs=1, batch_size=64, progress=False)
        return embed(model, graph)

    np.testing.assert_array_equal(vectors(), vectors())


def test_a_saved_model_gives_the_same_vectors(
    trained: tuple[GraphSage, BipartiteGraph, list[float]], tmp_path: Path
) -> None:
    model, graph, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(embed(loaded, graph), embed(model, graph))


def test_padding_is_never_trained(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model, graph, _ = trained
    keras.utils.set_random_seed(3)
    fresh = GraphSage(graph.sizes, width=8)
    np.testing.assert_array_equal(model.table.numpy()[0], fresh.table.numpy()[0])
    assert np.abs(model.table.numpy()[1:91] - fresh.table.numpy()[1:91]).min(axis=1).max() > 0


def test_graphs_that_do_not_fit_are_refused(trained: tuple[GraphSage, BipartiteGraph, list[float]]) -> None:
    model = trained[0]
    empty = BipartiteGraph.from_clicks([(np.empty(0, np.int64), np.empty(0, np.int64))], users=2, items=[1])
    with pytest.raises(ValueError, match="give `known`"):
        embed(model, empty)
    with pytest.raises(ValueError, match=r"a number below 90, or -1, for each of 3 nodes"):
        embed(model, empty, known=np.array([0, 1]))
    with pytest.raises(ValueError, match="no edge to learn from"):
        train_graph(GraphSage(empty.sizes, width=2), empty, progress=False)
    with pytest.raises(ValueError, match="items of 1 domains"):
        GraphSage((2, 1, 1), width=2).new_rows(empty)
