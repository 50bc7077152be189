"""A pre-ranker's meeting, loss and consistency, by hand and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data import IdMap, Label, Schema, Sparse
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.pre_ranker import PreRanker, consistency
from fullrank.models.retrieval.tower import LateMeeting
from fullrank.models.retrieval.two_tower import TwoTower


def test_it_begins_as_a_dot_product() -> None:
    draw = np.random.default_rng(0)
    queries, ads = (tf.constant(draw.normal(size=shape), tf.float32) for shape in ((3, 4), (5, 4)))
    wanted = queries.numpy() @ ads.numpy().T
    np.testing.assert_allclose(LateMeeting()(queries, ads), wanted, rtol=1e-5)
    layer = LateMeeting(6)
    np.testing.assert_allclose(layer(queries, ads), wanted, rtol=1e-5)
    own = tf.tile(ads[tf.newaxis], [3, 1, 1])
    np.testing.assert_allclose(layer(queries, own), wanted, rtol=1e-5)


def test_the_network_by_numpy() -> None:
    draw = np.random.default_rng(1)
    queries, ads = draw.normal(size=(2, 3)).astype(np.float32), draw.normal(size=(4, 3)).astype(np.float32)
    layer = LateMeeting(5)
    layer(tf.constant(queries), tf.constant(ads))
    weights = [draw.normal(size=variable.shape) for variable in layer.weights]
    layer.set_weights(weights)
    kernel, bias, output = weights
    found = layer(tf.constant(queries), tf.constant(ads)).numpy()
    for i in range(2):
        for j in range(4):
            product = queries[i] * ads[j]
            wanted = product.sum() + np.maximum(product @ kernel + bias, 0) @ output[:, 0]
            assert found[i, j] == pytest.approx(wanted, rel=1e-4)


def test_the_weight_of_an_example_counts() -> None:
    ids = IdMap(kind="identity", size=5)
    schema = Schema(
        name="shop",
        features=(Sparse(name="user", side="user", ids=ids), Sparse(name="ad", side="ad", ids=ids)),
        labels=(Label(name="click"),),
        weight="w",
    )
    options = RetrievalOptions(widths=(4,), hidden=(4,), vector_width=3, dropout=0.0)
    towers = TwoTower(schema, options, catalogue={"ad": np.arange(5)}, vocabularies={})
    model = PreRanker(towers, hidden=2, candidates=3, temperature=1.0)
    model.learn_from(lambda batch, places: tf.range(4.0) * tf.cast(batch["user"][:, tf.newaxis], tf.float32))

    def loss(users: list[int], weights: list[float]) -> float:
        users_and_ads = {"user": tf.constant(users, tf.int64), "ad": tf.constant(users, tf.int64)}
        return float(model.compute_loss({**users_and_ads, "w": tf.constant(weights)}))

    first, second = loss([1], [1.0]), loss([2], [1.0])
    assert abs(first - second) > 0.01
    assert loss([1, 2], [3.0, 1.0]) == pytest.approx((3 * first + second) / 4, rel=1e-5)
    assert loss([1, 2], [float("nan"), 0.0]) == pytest.approx(first, rel=1e-5)


def test_consistency() -> None:
    ranked = tf.constant([[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    scored = tf.constant([[0.0, 9.0, 5.0, 6.0], [0.0, 0.1, 5.0, 6.0]])
    # The ranker's first two are 0, 1 and 3, 2; the pre-ranker's first three are 1, 3, 2 and 3, 2, 1.
    np.testing.assert_allclose(consistency(ranked, scored, top=2, kept=3), [0.5, 1.0])
    np.testing.assert_allclose(consistency(ranked, ranked, top=2, kept=2), [1.0, 1.0])
