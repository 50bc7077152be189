"""A request that holds the user once is answered as one that repeats the user in every row."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_sides import IDS, SCHEMA, SIZES, TASKS, with_random_weights
from one_user_requests import check_requests

from fullrank import models
from fullrank.data import (
    SchemaError,
    Sparse,
)
from fullrank.data.schema.request_parts import request_parts
from fullrank.layers.dense import Dense
from fullrank.layers.interactions.cross_net import CrossNetV2
from fullrank.layers.interactions.flat import FlatDNN
from fullrank.layers.sequences.target_attention import TargetAttention
from fullrank.layers.sequences.temporal_interest import TemporalInterest
from fullrank.layers.split_fields import SplitFields
from fullrank.models.one_user import OneUser
from fullrank.models.serving.sample_rows import drawn_rows

GROUPS = models.GroupOptions(places=("user", "user_ad", "representation"), levels=2, codes=4, width=4, hidden=(4,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wiring", "options"),
    [
        (models.single(width=4, tasks=TASKS, expert_width=8), {}),
        (models.multi_embedding(tasks=TASKS, **SIZES), {"sequence": "din", "numeric": "mns"}),
        (
            models.ame(tasks=TASKS, widths=(4, 6, 8), expert_width=8),
            {"sequence": "mean", "numeric": "autodis", "vectors": "raw"},
        ),
        (models.stem_al(main="click", auxiliary=("like",), **SIZES), {"head": "gp", "inducing_points": 4}),
        (
            models.single(width=4, tasks=TASKS, expert_width=8, experts=("fwfm", "finalmlp")),
            {"sequence": "self_attention", "numeric": "piecewise", "vectors": "projection"},
        ),
        (models.multi_embedding(tasks=TASKS, **SIZES), {"group_structure": GROUPS}),
    ],
    ids=["single", "me", "ame", "stem_al", "other experts", "groups"],
)
def test_answers_are_those_of_repeated_rows(wiring: models.Wiring, options: dict[str, Any]) -> None:
    rows = drawn_rows(SCHEMA, number=33, seed=4)
    rows["seen"][0, 3:] = -1  # a short history
    model = with_random_weights(SCHEMA, wiring, **options)
    found = check_requests(model, rows)
    uncertain = {"posterior_request", "thompson_request"} if "head" in options else set()
    groups = {"groups_request"} if "group_structure" in options else set()
    assert found == {"serving_request"} | uncertain | groups
    plain = model({name: tf.constant(value) for name, value in rows.items()}, training=False)
    assert plain["click"].numpy().std() > (1e-4 if "head" in options else 0.01)


def test_a_user_without_history_and_a_request_without_ads() -> None:
    one = OneUser(with_random_weights(SCHEMA, models.single(width=4, tasks=TASKS, expert_width=8)))
    rows = drawn_rows(SCHEMA, number=7)
    rows["seen"][:], rows["seen_hour"][:] = -1, -1
    check_requests(one.ranker, rows)
    once = {n: tf.constant(v[:1] if n in one.columns else v[:0]) for n, v in rows.items()}
    assert one(once)["click"].shape == (0,)


def test_columns_of_the_user_and_the_context_are_held_once() -> None:
    parts = request_parts(SCHEMA)
    assert parts.features == {"user", "likes", "hour", "age", "history", "taste", "face"}
    assert parts.columns == {
        *("user", "likes", "like_weights", "hour", "age", "seen", "seen_hour", "seen_at", "taste", "face", "now")
    }


def test_a_column_of_both_sides_goes_with_the_ads() -> None:
    shared = dataclasses.replace(
        SCHEMA,
        features=(
            Sparse(name="user", side="user", ids=IDS, max_values=2, weights="w"),
            Sparse(name="item", side="ad", ids=IDS, max_values=2, weights="w"),
            Sparse(name="hour", ids=IDS),
        ),
        time=None,
    )
    assert request_parts(shared).features == {"hour"}
    assert request_parts(shared).columns == {"hour"}


def test_a_schema_of_one_side_cannot_be_split() -> None:
    users, ads = Sparse(name="user", side="user", ids=IDS), Sparse(name="item", side="ad", ids=IDS)
    for feature, message in ((users, 'has "side": "ad"'), (ads, "describes the ad")):
        with pytest.raises(SchemaError, match=message):
            request_parts(dataclasses.replace(SCHEMA, features=(feature,), time=None))


def split_fields(random: np.random.Generator) -> tuple[SplitFields, tf.Tensor]:
    """Five examples with fields 1 and 3 in common, and the same fields as one tensor."""
    once, each = (random.normal(size=shape).astype(np.float32) for shape in ((1, 2, 4), (5, 3, 4)))
    whole = np.stack([each[:, 0], np.repeat(once[:, 0], 5, 0), each[:, 1], np.repeat(once[:, 1], 5, 0), each[:, 2]], 1)
    return SplitFields(tf.constant(once), tf.constant(each), (2, 0, 3, 1, 4)), tf.constant(whole)


def test_fields_are_put_in_their_places() -> None:
    fields, whole = split_fields(np.random.default_rng(0))
    np.testing.assert_array_equal(fields.whole, whole)
    more = tf.ones([5, 1, 4])
    np.testing.assert_array_equal(fields.with_more(more).whole, tf.concat([whole, more], axis=1))


def test_a_product_of_split_fields_is_the_sum_of_both_parts() -> None:
    fields, whole = split_fields(np.random.default_rng(1))
    dense = Dense(3, activation="relu")
    expected = dense(tf.reshape(whole, (5, -1)))
    np.testing.assert_allclose(fields.through(dense), expected, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [FlatDNN((6, 3)), FlatDNN(()), CrossNetV2(2), CrossNetV2(2, projection_dim=3)],
    ids=["flat", "no hidden layer", "cross", "low rank"],
)
def test_interactions_of_split_fields(layer: Any) -> None:
    fields, whole = split_fields(np.random.default_rng(2))
    expected = layer(whole)
    np.testing.assert_allclose(layer.of_split(fields), expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        TemporalInterest(6, scale=0.5),
        TemporalInterest(6, attention=False),
        TemporalInterest(6, interval=False, representation=False),
        TemporalInterest(6, position=False, interval=False, attention=False, representation=False),
        TargetAttention((5, 3)),
        TargetAttention((5,), normalise=True),
        TargetAttention((5, 4, 3)),
    ],
    ids=["tim", "even", "plain", "mean", "din", "softmax", "deep"],
)
@pytest.mark.parametrize("behaviours", [4, 0])
def test_encoders_of_many_targets(layer: Any, behaviours: int) -> None:
    random = np.random.default_rng(3)
    history = random.normal(size=(1, 6, 4)).astype(np.float32)
    target = random.normal(size=(5, 4)).astype(np.float32)
    mask = np.arange(6)[np.newaxis] < behaviours
    history[~mask] = np.nan
    given = [history, target, mask, np.linspace(9, 1, 6, dtype=np.float32)[np.newaxis]]
    given = given[:4] if isinstance(layer, TemporalInterest) and layer.interval else given[:3]
    copies = [tf.constant(v if v is target else np.repeat(v, 5, axis=0)) for v in given]
    expected = layer(*copies)
    for weight in layer.weights:
        weight.assign(random.normal(scale=0.5, size=weight.shape))
    expected = layer(*copies)
    found = layer.of_targets(*map(tf.constant, given))
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert behaviours == 0 or np.abs(expected).max() > 0.01
    without = [value if value is target else value[:, :0] for value in given]
    np.testing.assert_array_equal(layer.of_targets(*map(tf.constant, without)), np.zeros((5, 4)))
