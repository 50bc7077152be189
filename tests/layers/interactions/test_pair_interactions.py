"""Interactions that weigh or project field pairs, against numbers by hand, slow double loops and each other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import layers

Array = np.ndarray[Any, Any]


def fields_of(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def randomised(layer: keras.layers.Layer, fields: Array, *, seed: int = 1) -> list[Array]:
    """Builds a layer, and gives its weights random values that it returns."""
    layer(fields)
    draw = np.random.default_rng(seed)
    layer.set_weights([draw.normal(size=weight.shape).astype(np.float32) for weight in layer.weights])
    return layer.get_weights()  # type: ignore[no-any-return]


def close(layer: keras.layers.Layer, fields: Array, slow: Any) -> None:
    np.testing.assert_allclose(layer(fields).numpy(), slow, rtol=1e-5, atol=1e-5)


def test_group_weighted_fm_by_hand() -> None:
    # Fields 1, 2 are in part 0, field 3 in part 1, each a group of its own; rows are [towards part 0, towards part 1].
    # Pair (1,2): 1 * 3 = 3; pair (1,3): field 1 towards part 1 is 2, field 3 towards part 0 is 5: 10;
    # pair (2,3): 4 * 5 = 20. With weights r_12 = 2, r_13 = 3, r_23 = -1: 6 + 30 - 20 = 16.
    layer = layers.GroupWeightedFM((0, 0, 1))
    fields = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], np.float32)
    np.testing.assert_allclose(layer(fields).numpy(), [[33.0]])
    layer.set_weights([np.array([9.0, 2.0, 3.0, 9.0, -1.0, 9.0])])
    np.testing.assert_allclose(layer(fields).numpy(), [[16.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("parts", "groups"),
    [
        ((0, 0, 1, 0, 1, 0), (0, 1, 2, 1, 2, 0)),
        ((0, 0, 0, 0, 0, 0), (0, 1, 2, 1, 2, 0)),
        ((0, 1, 2, 3, 4, 5), None),
        ((2, 0, 1, 0, 1, 2), (0, 0, 0, 1, 1, 1)),
    ],
)
def test_group_weighted_fm_equals_the_double_loop(parts: tuple[int, ...], groups: tuple[int, ...] | None) -> None:
    layer, width = layers.GroupWeightedFM(parts, groups), 3
    fields = fields_of(4, 6, width * (max(parts) + 1))
    (flat,) = randomised(layer, fields)
    groups = tuple(range(6)) if groups is None else groups
    number = max(groups) + 1
    weights = np.zeros((number, number))
    weights[np.triu_indices(number)] = flat
    rows = fields.reshape(4, 6, -1, width).astype(np.float64)
    slow = np.zeros((4, width))
    for i, j in itertools.combinations(range(6), 2):
        first, second = sorted((groups[i], groups[j]))
        slow += rows[:, i, parts[j]] * rows[:, j, parts[i]] * weights[first, second]
    close(layer, fields, slow)


def test_group_weighted_fm_of_one_part_and_equal_weights_is_fm() -> None:
    fields = fields_of(5, 7, 4)
    close(layers.GroupWeightedFM((0,) * 7, (0, 1, 1, 2, 0, 3, 3)), fields, layers.FactorizationMachine()(fields))


def test_group_weighted_fm_with_a_part_a_field_is_ffm() -> None:
    fields = fields_of(5, 4, 12)
    close(layers.GroupWeightedFM(range(4), (0, 1, 1, 0)), fields, layers.FieldAwareFM()(fields))


def test_group_weighted_fm_of_one_part_and_a_group_a_field_is_fwfm() -> None:
    fields, grouped, weighted = fields_of(5, 4, 3), layers.GroupWeightedFM((0,) * 4), layers.FieldWeightedFM()
    (pairs,) = randomised(weighted, fields)
    grouped(fields)
    matrix = np.zeros((4, 4))
    matrix[np.triu_indices(4, k=1)] = pairs
    grouped.set_weights([matrix[np.triu_indices(4)]])
    close(grouped, fields, weighted(fields))


@pytest.mark.parametrize(
    ("parts", "groups", "message"),
    [((0, 2), None, "parts must be numbered"), ((0, 1), (1, 2), "groups must be"), ((0, 1), (0,), "but groups for 1")],
)
def test_group_weighted_fm_refuses_gaps(parts: Any, groups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layers.GroupWeightedFM(parts, groups)


def test_widths_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2"):
        layers.GroupWeightedFM((0, 0, 1))(tf.ones([2, 3, 5]))
    with pytest.raises(ValueError, match="parts of 3 fields"):
        layers.GroupWeightedFM((0, 0, 1))(tf.ones([2, 4, 6]))
    with pytest.raises(ValueError, match="multiple of 3"):
        layers.FieldAwareFM()(tf.ones([2, 3, 5]))


def test_field_weighted_fm_equals_the_double_loop() -> None:
    layer, fields = layers.FieldWeightedFM(), fields_of(3, 6, 4)
    (weights,) = randomised(layer, fields)
    slow = np.zeros((3, 4))
    for weight, (i, j) in zip(weights, itertools.combinations(range(6), 2), strict=True):
        slow += weight * fields[:, i].astype(np.float64) * fields[:, j]
    close(layer, fields, slow)


def test_field_aware_fm_equals_the_double_loop() -> None:
    fields = fields_of(3, 5, 10)
    rows = fields.reshape(3, 5, 5, 2).astype(np.float64)
    slow = sum(rows[:, i, j] * rows[:, j, i] for i, j in itertools.combinations(range(5), 2))
    close(layers.FieldAwareFM(), fields, slow)


def test_what_a_feature_shows_itself_has_no_gradient() -> None:
    fields = tf.constant(fields_of(3, 4, 8))
    with tf.GradientTape() as tape:
        tape.watch(fields)
        total = tf.reduce_sum(layers.FieldAwareFM()(fields) ** 2)
    gradient = tape.gradient(total, fields).numpy().reshape(3, 4, 4, 2)
    for field in range(4):
        np.testing.assert_array_equal(gradient[:, field, field], 0.0)


def test_field_pair_projection_by_hand() -> None:
    # e1 = (1, 2), e2 = (3, 4), W = [[1, 0], [1, 2]]: e1 W = (1 + 2, 4) = (3, 4); times e2: (9, 16).
    layer = layers.FieldPairProjection(start="identity")
    fields = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    np.testing.assert_allclose(layer(fields).numpy(), [[3.0, 8.0]])
    layer.set_weights([np.array([[[1.0, 0.0], [1.0, 2.0]]])])
    np.testing.assert_allclose(layer(fields).numpy(), [[9.0, 16.0]])


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_field_pair_projection_equals_the_double_loop(form: Any) -> None:
    layer, fields = layers.FieldPairProjection(form), fields_of(3, 5, 4)
    (weights,) = randomised(layer, fields)
    slow = np.zeros((3, 4))
    for weight, (i, j) in zip(weights, itertools.combinations(range(5), 2), strict=True):
        matrix = np.diag(weight) if form == "diagonal" else weight
        slow += (fields[:, i].astype(np.float64) @ matrix) * fields[:, j]
    close(layer, fields, slow)


def test_low_rank_projection_equals_the_double_loop() -> None:
    layer, fields = layers.FieldPairProjection("low_rank", rank=2), fields_of(3, 5, 4)
    shown, met = randomised(layer, fields)
    slow = np.zeros((3, 4))
    for i, j in itertools.combinations(range(5), 2):
        slow += (fields[:, i].astype(np.float64) @ (shown[i] @ met[j - 1])) * fields[:, j]
    close(layer, fields, slow)


def test_low_rank_projection_of_full_rank_is_the_full_one() -> None:
    # U_i picks the i-th block of d rows, and V_j holds W_{1->j}, W_{2->j}, ... one below the other.
    full, fields = layers.FieldPairProjection(), fields_of(4, 3, 2)
    (weights,) = randomised(full, fields)
    between = dict(zip(itertools.combinations(range(3), 2), weights, strict=True))
    low = layers.FieldPairProjection("low_rank", rank=6)
    low(fields)
    shown = np.eye(6).reshape(3, 2, 6)[:2]
    none = np.zeros((2, 2))
    met = np.stack([np.concatenate([between.get((i, j), none) for i in range(3)]) for j in (1, 2)])
    low.set_weights([shown, met])
    close(low, fields, full(fields))


def test_projection_starts_as_fm_on_request() -> None:
    fields = fields_of(4, 5, 3)
    for form in ("full", "diagonal"):
        close(layers.FieldPairProjection(form, start="identity"), fields, layers.FactorizationMachine()(fields))
    old = {name: value for name, value in layers.FieldPairProjection().get_config().items() if name != "start"}
    close(layers.FieldPairProjection.from_config(old), fields, layers.FactorizationMachine()(fields))


def test_projections_start_as_orthogonal_matrices_each_its_own() -> None:
    keras.utils.set_random_seed(1)
    layer = layers.FieldPairProjection()
    layer(fields_of(1, 4, 5))
    weights = layer.get_weights()[0]
    np.testing.assert_allclose(weights @ weights.transpose(0, 2, 1), np.tile(np.eye(5), (6, 1, 1)), atol=1e-5)
    cosines = np.einsum("aij,bij->ab", weights, weights) / 5 - np.eye(6)
    assert np.abs(cosines).max() < 0.8
    # Entries of a uniform orthogonal matrix have mean 0 and variance 1 / d: of 150 here, six standard errors.
    assert abs(weights.mean()) < 6 * 0.2**0.5 / 150**0.5


@pytest.mark.parametrize("start", ["random", None])
def test_projection_rejects_an_invalid_start(start: Any) -> None:
    with pytest.raises(ValueError, match="start must be orthogonal or identity"):
        layers.FieldPairProjection(start=start)


@pytest.mark.parametrize(("form", "rank"), [("full", 2), ("low_rank", None), ("half", None)])
def test_projection_rejects_an_invalid_form(form: Any, rank: int | None) -> None:
    with pytest.raises(ValueError, match=r"form|rank"):
        layers.FieldPairProjection(form, rank=rank)


@pytest.mark.parametrize(
    "layer", [layers.FieldPairProjection(), layers.FieldWeightedFM(), layers.OuterProduct()], ids=lambda e: e.name
)
def test_a_pair_is_needed(layer: keras.layers.Layer) -> None:
    with pytest.raises(ValueError, match="at least two fields"):
        layer(tf.ones([2, 1, 3]))


def test_outer_product_by_hand() -> None:
    # (1, 2) [[1, 0], [1, 2]] (3, 4)^T = (3, 4) . (3, 4) = 25
    layer = layers.OuterProduct(linear=False)
    fields = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    layer(fields)
    layer.set_weights([np.array([[[1.0, 0.0], [1.0, 2.0]]])])
    np.testing.assert_allclose(layer(fields).numpy(), [[25.0]])
    # Superposed: f = (4, 6), the upper triangle of f f^T is (16, 24, 36).
    superposed = layers.OuterProduct(superposed=True)
    np.testing.assert_allclose(superposed(fields).numpy(), [[1, 2, 3, 4, 16, 24, 36]])


def test_outer_product_equals_the_double_loop() -> None:
    layer, fields = layers.OuterProduct(linear=False), fields_of(3, 5, 4)
    (kernels,) = randomised(layer, fields)
    pairs = itertools.combinations(range(5), 2)
    slow = [
        np.einsum("bd,de,be->b", fields[:, i], kernel, fields[:, j])
        for kernel, (i, j) in zip(kernels, pairs, strict=True)
    ]
    close(layer, fields, np.stack(slow, axis=1))


def test_outer_product_of_identities_is_the_inner_product() -> None:
    layer, fields = layers.OuterProduct(), fields_of(3, 4, 5)
    layer(fields)
    layer.set_weights([np.broadcast_to(np.eye(5), (6, 5, 5))])
    close(layer, fields, layers.InnerProduct()(fields))


def test_inner_product_is_the_dot_interaction_of_dlrm() -> None:
    from fullrank.layers.legacy_keras import tfrs

    fields = fields_of(3, 4, 5)
    theirs = tfrs.layers.feature_interaction.DotInteraction()([tf.constant(fields[:, i]) for i in range(4)]).numpy()
    # TFRS takes the lower triangle row by row: (2,1), (3,1), (3,2), ...
    order = [sorted(itertools.combinations(range(4), 2)).index((i, j)) for j in range(4) for i in range(j)]
    ours = layers.InnerProduct(linear=False)(fields).numpy()
    np.testing.assert_allclose(ours[:, order], theirs, rtol=1e-5, atol=1e-5)


def test_the_fm_of_a_wide_set_is_that_of_its_parts_side_by_side() -> None:
    sets = [fields_of(3, 5, 4, seed=seed) for seed in range(3)]
    wide = layers.FactorizationMachine()(np.concatenate(sets, axis=2))
    parts = [layers.FactorizationMachine()(each) for each in sets]
    np.testing.assert_allclose(wide, np.concatenate(parts, axis=1), rtol=1e-5, atol=1e-6)
