"""Several interests of one user: scores by hand, which interest learns, and an index of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.data import BehaviourColumn, IdMap, Key, Label, Schema, Sequence, Sparse
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.interests import best_of_interests, fitting_interest, interest_scores
from fullrank.models.retrieval.served_index import ServedIndex
from fullrank.models.retrieval.two_tower import TwoTower

ADS = 12
HISTORY = Sequence(name="history", behaviour=(BehaviourColumn(name="past", table="ad", target="ad"),), max_length=5)
SCHEMA = Schema(
    name="shop",
    features=(
        Sparse(name="user", side="user", ids=IdMap(kind="identity", size=9)),
        Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=ADS)),
        HISTORY,
    ),
    labels=(Label(name="click"),),
    keys=(Key(name="user"),),
)


def towers(**options: Any) -> TwoTower:
    keras.utils.set_random_seed(0)
    settings = {"widths": (4, 6), "hidden": (8,), "vector_width": 5, "dropout": 0.0, "initial_scale": 1.0, **options}
    return TwoTower(SCHEMA, RetrievalOptions(**settings), catalogue={"ad": np.arange(ADS)}, vocabularies={})


def batch(size: int = 8) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(1)
    past = draw.integers(0, ADS, (size, 5))
    past[0] = -1
    columns = {"user": draw.integers(0, 9, size), "ad": draw.integers(0, ADS, size), "past": past}
    return {**{name: tf.constant(each) for name, each in columns.items()}, "click": tf.ones([size])}


def test_an_ad_has_the_score_of_the_interest_that_fits_it_best() -> None:
    queries = tf.constant([[[1.0, 0.0], [0.0, 2.0]]])
    ads = tf.constant([[3.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(interest_scores(queries, ads), [[3.0, 2.0]])
    np.testing.assert_array_equal(fitting_interest(queries, ads[:1]), [[1.0, 0.0]])
    np.testing.assert_array_equal(fitting_interest(queries, ads[1:]), [[0.0, 2.0]])


def test_what_interests_find_is_joined_and_each_ad_is_answered_once() -> None:
    scores, places = best_of_interests(
        tf.constant([[[9.0, 5.0, 1.0], [8.0, 7.0, 2.0]]]), tf.constant([[[4, 0, 2], [0, 4, 3]]]), at=3
    )
    np.testing.assert_array_equal(places, [[4, 0, 3]])
    np.testing.assert_array_equal(scores, [[9.0, 8.0, 2.0]])


@pytest.mark.parametrize("sequence", ["tim", "din", "self_attention"])
def test_interests_differ_where_there_is_a_history(sequence: str) -> None:
    model = towers(interests=3, sequence=sequence)
    queries = model(batch(), training=False)["query"].numpy()
    assert queries.shape == (8, 3, 5)
    np.testing.assert_allclose(queries[0], np.tile(queries[0, :1], (3, 1)), rtol=1e-5, atol=1e-6)
    assert (np.abs(queries[1:, 0] - queries[1:, 1]).max(axis=1) > 1e-5).all()
    without_ad = {name: values for name, values in batch().items() if name in ("user", "past")}
    np.testing.assert_allclose(model.query_vectors(without_ad, training=False), queries, rtol=1e-5, atol=1e-6)


def test_the_interest_that_fits_learns_and_the_others_do_not() -> None:
    model, given = towers(interests=3, sequence="tim", widths=(4,)), batch()
    found = model(given, training=False)
    products = np.einsum("bkd,bd->bk", found["query"], found["ad"])
    (targets,) = [each for each in model.trainable_variables if "targets" in each.name]
    for row in (1, 2):
        one = {name: values[row : row + 1] for name, values in given.items()}
        # An example alone has no negative but those that are drawn.
        drawn = towers(interests=3, sequence="tim", widths=(4,), mixed_negatives=4)
        (own,) = [each for each in drawn.trainable_variables if "targets" in each.name]
        np.testing.assert_array_equal(own, targets)
        with tf.GradientTape() as tape:
            loss = drawn.compute_loss(one, training=True)
        gradient = tf.convert_to_tensor(tape.gradient(loss, own)).numpy()
        learned = np.abs(gradient).max(axis=(1, 2)) > 0.0
        np.testing.assert_array_equal(learned, np.arange(3) == products[row].argmax())


def test_an_index_of_interests_gives_the_highest_scores() -> None:
    model, given = towers(interests=3, sequence="tim"), batch()
    vectors = model.ad_vectors(model.catalogue, training=False).numpy()
    index = ServedIndex(model, ids=np.arange(ADS), vectors=vectors, at=4, most_exclusions=3)
    scores = interest_scores(model.query_vectors(given, training=False), tf.constant(vectors)).numpy()
    best = np.argsort(-scores, axis=1)
    found = index.answer(given)
    np.testing.assert_array_equal(found["ids"], best[:, :4])
    np.testing.assert_allclose(found["scores"], np.take_along_axis(scores, best[:, :4], axis=1), rtol=1e-5)
    without = index.answer(given, tf.constant(best[:, :2]))
    np.testing.assert_array_equal(without["ids"], best[:, 2:6])


def test_what_interests_need() -> None:
    with pytest.raises(ValueError, match="--sequence=mean has none: choose"):
        towers(interests=2)
    alone = Schema(name="short", features=SCHEMA.features[:2], labels=SCHEMA.labels)
    with pytest.raises(ValueError, match="needs a history, and schema 'short' has none"):
        TwoTower(
            alone,
            RetrievalOptions(interests=2, sequence="tim"),
            catalogue={"ad": np.arange(ADS)},
            vocabularies={},
        )
