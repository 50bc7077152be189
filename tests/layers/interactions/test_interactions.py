"""Interactions against numbers derived by hand and slow double loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers
from fullrank.layers.legacy_keras import tfrs

# One example is enough: interactions treat every example alike, and the conformance table varies the batch.
FIELDS = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], np.float32)


def test_factorization_machine_by_hand() -> None:
    # (1*3 + 1*5 + 3*5, 2*4 + 2*6 + 4*6) = (23, 44)
    np.testing.assert_allclose(layers.FactorizationMachine()(FIELDS).numpy(), [[23.0, 44.0]])


def test_factorization_machine_equals_the_double_loop() -> None:
    fields = np.random.default_rng(0).normal(size=(4, 7, 5)).astype(np.float32)
    slow = np.zeros((4, 5), np.float64)
    for i, j in itertools.combinations(range(7), 2):
        slow += fields[:, i].astype(np.float64) * fields[:, j]
    np.testing.assert_allclose(layers.FactorizationMachine()(fields).numpy(), slow, rtol=1e-5, atol=1e-5)


def test_inner_product_by_hand() -> None:
    # <e1, e2> = 1*3 + 2*4 = 11, <e1, e3> = 5 + 12 = 17, <e2, e3> = 15 + 24 = 39
    np.testing.assert_allclose(layers.InnerProduct(linear=False)(FIELDS).numpy(), [[11.0, 17.0, 39.0]])
    np.testing.assert_allclose(layers.InnerProduct()(FIELDS).numpy(), [[1, 2, 3, 4, 5, 6, 11, 17, 39]])


def test_inner_product_equals_the_double_loop() -> None:
    fields = np.random.default_rng(1).normal(size=(3, 6, 4)).astype(np.float32)
    slow = [[float(e[i] @ e[j]) for i, j in itertools.combinations(range(6), 2)] for e in fields]
    np.testing.assert_allclose(layers.InnerProduct(linear=False)(fields).numpy(), slow, rtol=1e-5, atol=1e-5)


def test_inner_product_needs_a_pair() -> None:
    with pytest.raises(ValueError, match="at least two fields"):
        layers.InnerProduct()(tf.ones([2, 1, 3]))


def test_cross_net_by_hand() -> None:
    # One field of width 2, x0 = (1, 2), W = [[1, 0], [1, 1]] applied as x W, b = (0.5, 0):
    # x0 W + b = (1 + 2 + 0.5, 2) = (3.5, 2); x1 = x0 * that + x0 = (3.5 + 1, 4 + 2) = (4.5, 6)
    net = layers.CrossNetV2(1)
    fields = np.array([[[1.0, 2.0]]], np.float32)
    net(fields)
    net.set_weights([np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.5, 0.0])])
    np.testing.assert_allclose(net(fields).numpy(), [[4.5, 6.0]])


def test_cross_net_equals_a_slow_reference() -> None:
    net = layers.CrossNetV2(3)
    fields = np.random.default_rng(2).normal(size=(4, 3, 2)).astype(np.float32)
    output = net(fields).numpy()
    x0 = x = fields.reshape(4, 6).astype(np.float64)
    weights = net.get_weights()
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = x0 * (x @ kernel + bias) + x
    np.testing.assert_allclose(output, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [None, 3])
def test_cross_net_equals_a_stack_of_tfrs_layers(rank: int | None) -> None:
    net, fields = layers.CrossNetV2(2, projection_dim=rank), np.random.default_rng(4).normal(size=(5, 3, 4))
    output = net(fields.astype(np.float32)).numpy()
    theirs = [tfrs.layers.feature_interaction.Cross(projection_dim=rank) for _ in range(2)]
    x = x0 = fields.reshape(5, 12).astype(np.float32)
    for number, cross in enumerate(theirs):
        cross(x0, x)
        each = len(net.get_weights()) // 2
        cross.set_weights(net.get_weights()[number * each : (number + 1) * each])
        x = cross(x0, x)
    np.testing.assert_allclose(output, np.asarray(x), rtol=1e-5, atol=1e-5)


def test_low_rank_cross_has_fewer_weights() -> None:
    full, low = layers.CrossNetV2(1), layers.CrossNetV2(1, projection_dim=2)
    fields = tf.ones([1, 4, 5])
    full(fields), low(fields)
    assert full.count_params() == 20 * 20 + 20
    assert low.count_params() == 20 * 2 + 2 * 20 + 20


def test_flat_by_hand() -> None:
    # [1..6] summed is 21; minus 20 is 1; the second unit is cut to 0 by the ReLU.
    flat = layers.FlatDNN((2,))
    flat(FIELDS)
    flat.set_weights([np.array([[1.0, -1.0]] * 6), np.array([-20.0, 0.0])])
    np.testing.assert_allclose(flat(FIELDS).numpy(), [[1.0, 0.0]])


def test_flat_drops_only_in_training() -> None:
    flat = layers.FlatDNN((200,), dropout=0.5)
    fields = tf.ones([4, 3, 2])
    np.testing.assert_array_equal(flat(fields).numpy(), flat(fields, training=False).numpy())
    assert (flat(fields, training=True).numpy() == 0).mean() > (flat(fields).numpy() == 0).mean()


def test_expert_projects_interaction_and_side_through_a_non_linearity() -> None:
    # FM gives (23, 44), side is (2); the projection sums to 69 and to -69, which the ReLU cuts.
    expert = layers.Expert(layers.FactorizationMachine(), 2)
    side = tf.constant([[2.0]])
    expert(FIELDS, side)
    expert.set_weights([np.array([[1.0, -1.0]] * 3), np.zeros(2)])
    np.testing.assert_allclose(expert(FIELDS, side).numpy(), [[69.0, 0.0]])
