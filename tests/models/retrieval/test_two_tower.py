"""What the towers read, and what a step of them changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.data import BehaviourColumn, IdMap, Key, Label, Numeric, Schema, Sequence, Sparse, Vector
from fullrank.data.schema.schema import SchemaError
from fullrank.models.encoding.missing_batch import missing_batch
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.positives import positive_labels, positive_weights
from fullrank.models.retrieval.sides import ad_columns, item_feature
from fullrank.models.retrieval.two_tower import TwoTower

ADS = 6
SCHEMA = Schema(
    name="shop",
    features=(
        Sparse(name="user", side="user", ids=IdMap(kind="identity", size=9)),
        Vector(name="taste", side="user", length=3, pair="look"),
        Sparse(name="item", side="ad", ids=IdMap(kind="identity", size=ADS)),
        Sparse(name="topics", side="ad", max_values=2, ids=IdMap(kind="identity", size=4)),
        Vector(name="look", side="ad", length=3),
        Sequence(
            name="history",
            behaviour=(BehaviourColumn(name="past", table="item", target="item"),),
            times="then",
            max_length=4,
        ),
    ),
    labels=(Label(name="click"), Label(name="buy"), Label(name="spend", type="value")),
    keys=(Key(name="user"),),
    time="now",
)


def catalogue() -> dict[str, Any]:
    draw = np.random.default_rng(1)
    return {
        "item": np.arange(ADS),
        "topics": draw.integers(0, 4, (ADS, 2)),
        "look": draw.normal(size=(ADS, 3)).astype(np.float32),
    }


def towers(schema: Schema = SCHEMA, **options: Any) -> TwoTower:
    keras.utils.set_random_seed(0)
    settings = {"widths": (4, 6), "hidden": (8,), "vector_width": 5, "dropout": 0.0, **options}
    return TwoTower(schema, RetrievalOptions(**settings), catalogue=catalogue(), vocabularies={})


def test_the_weight_of_an_example_counts() -> None:
    weight = tf.constant([2.0, float("nan"), 0.0, 3.0])
    columns = {"click": tf.constant([1.0, 1.0, 1.0, 0.0]), "buy": tf.constant([1.0, 0.0, 1.0, 0.0]), "w": weight}
    labels = {"click": 1.0, "buy": 5.0}
    np.testing.assert_allclose(positive_weights(columns, labels, weight="w"), [12.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(positive_weights(columns, labels, weight=None), [6.0, 1.0, 6.0, 0.0])
    # Ones are what no column means; the examples of a weighted loss are those of the batch without the others.
    plain, weighted = towers(), towers(schema=dataclasses.replace(SCHEMA, weight="w"))
    weighted.set_weights(plain.get_weights())
    whole = batch()
    loss = plain.compute_loss(whole)
    np.testing.assert_allclose(weighted.compute_loss({**whole, "w": tf.ones(12)}), loss, rtol=1e-6)
    half = {name: values[:6] for name, values in whole.items()}
    of_half = weighted.compute_loss({**whole, "w": tf.constant([2.0] * 6 + [0.0] * 6)})
    fresh = towers()
    np.testing.assert_allclose(of_half, fresh.compute_loss(half), rtol=1e-5)


def batch(size: int = 12, seed: int = 0) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(seed)
    items, ads = draw.integers(0, ADS, size), catalogue()
    past = np.where(draw.random((size, 4)) < 0.7, draw.integers(0, ADS, (size, 4)), -1)
    columns = {
        "user": draw.integers(0, 4, size),
        "taste": draw.normal(size=(size, 3)).astype(np.float32),
        "item": items,
        "topics": ads["topics"][items],
        "look": ads["look"][items],
        "past": past,
        "then": np.full((size, 4), 900),
        "now": np.full(size, 1000),
        "click": (draw.random(size) < 0.6).astype(np.float32),
        "buy": np.full(size, np.nan, np.float32),
    }
    return {name: tf.constant(values) for name, values in columns.items()}


@pytest.mark.parametrize("sequence", ["mean", "tim"])
def test_a_query_knows_nothing_of_the_ad_and_an_ad_nothing_of_the_query(sequence: str) -> None:
    model, given = towers(sequence=sequence), batch()
    whole = model(given, training=False)
    missing = missing_batch(SCHEMA.input_columns, 12)
    ad_names = {column.name for column in ad_columns(SCHEMA)}
    assert ad_names == {"item", "topics", "look"}
    without_ad = {name: missing[name] if name in ad_names else given[name] for name in missing}
    without_query = {name: given[name] if name in ad_names else missing[name] for name in missing}
    np.testing.assert_array_equal(model(without_ad, training=False)["query"], whole["query"])
    np.testing.assert_array_equal(model(without_query, training=False)["ad"], whole["ad"])
    of_ads = model.ad_vectors({name: given[name] for name in ad_names}, training=False)
    np.testing.assert_allclose(of_ads, whole["ad"], rtol=1e-6)
    np.testing.assert_allclose(model.query_vectors(without_ad, training=False), whole["query"], rtol=1e-6)
    np.testing.assert_allclose(tf.norm(whole["ad"], axis=1), np.ones(12), rtol=1e-5)


def test_a_query_of_a_history_alone() -> None:
    alone = Schema(name="short", features=(SCHEMA.features[2], SCHEMA.features[5]), labels=SCHEMA.labels, time="now")
    model = TwoTower(alone, RetrievalOptions(), catalogue={"item": np.arange(ADS)}, vocabularies={})
    assert model(batch(), training=False)["query"].shape == (12, 32)
    # No key: a query's own ad alone is not its negative.
    assert float(model.compute_loss(batch())) > 0.0


def test_a_step_learns_and_counts_positives_alone() -> None:
    model, given = towers(mixed_negatives=5), batch(64)
    losses = []
    for _ in range(30):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(given, training=True)
        losses.append(float(loss))
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            if gradient is not None:
                variable.assign_sub(0.3 * tf.convert_to_tensor(gradient))
    assert losses[-1] < 0.9 * losses[0]
    clicked = given["item"].numpy()[given["click"].numpy() > 0]
    np.testing.assert_array_equal(model.counts.popularity, 30 * np.bincount(clicked, minlength=ADS))


def test_a_batch_without_a_positive_changes_nothing() -> None:
    model = towers()
    with tf.GradientTape() as tape:
        loss = model.compute_loss({**batch(), "click": tf.zeros([12])}, training=True)
    assert float(loss) == 0.0
    found = [g for g in tape.gradient(loss, model.trainable_variables) if g is not None]
    assert all(not np.any(tf.convert_to_tensor(gradient)) for gradient in found)
    assert not model.counts.popularity.numpy().any()


def test_weights_of_several_labels() -> None:
    labels = positive_labels(("click", "buy:5"), SCHEMA)
    assert labels == {"click": 1.0, "buy": 5.0}
    given = {"click": tf.constant([1.0, 0.0, 1.0, np.nan]), "buy": tf.constant([1.0, 1.0, 0.0, np.nan])}
    np.testing.assert_array_equal(positive_weights(given, labels, weight=None), [6.0, 5.0, 1.0, 0.0])
    assert positive_labels((), SCHEMA) == {"click": 1.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("clik",), "no binary label 'clik'; did you mean 'click'"),
        (("spend",), "no binary label 'spend'"),
        (("click:0",), "weights above 0"),
        (("click:x",), "weights above 0"),
        (("click", "click:2"), "different labels"),
    ],
)
def test_labels_that_are_none(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        positive_labels(given, SCHEMA)


def test_the_ad_is_named_by_the_largest_table_or_as_asked() -> None:
    assert item_feature(SCHEMA, None).name == "item"
    with pytest.raises(
        SchemaError, match="--item=itm: no feature of the ad side that holds one id; did you mean 'item'"
    ):
        item_feature(SCHEMA, "itm")
    with pytest.raises(SchemaError, match="--item=user: no feature of the ad side"):
        item_feature(SCHEMA, "user")
    users = Schema(name="users", features=SCHEMA.features[:1], labels=SCHEMA.labels)
    with pytest.raises(SchemaError, match="no id of the ad side"):
        item_feature(users, None)
    ads = Schema(name="ads", features=(SCHEMA.features[2], Numeric(name="price", side="ad")), labels=SCHEMA.labels)
    with pytest.raises(SchemaError, match="a query needs one"):
        ad_columns(ads)
