"""Gates and towers: weights by hand, and gradients that must be exactly zero."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers


def test_mean_gate_by_hand() -> None:
    gate = layers.Gate((("train", "off", "train"), ("off", "train", "off")), kind="mean")
    experts = tf.constant([[[1.0, 2.0], [10.0, 20.0], [3.0, 6.0]]])
    np.testing.assert_allclose(gate(experts).numpy(), [[[2.0, 4.0], [10.0, 20.0]]])


def test_softmax_gate_by_hand() -> None:
    # Scores (0, ln 3, off): weights (1/4, 3/4, 0), so 1/4 * 4 + 3/4 * 8 = 7.
    gate = layers.Gate((("train", "train", "off"),))
    experts, seen = tf.constant([[[4.0], [8.0], [1000.0]]]), tf.constant([[1.0]])
    gate(experts, seen)
    gate.set_weights([np.array([[0.0, np.log(3.0), 50.0]]), np.zeros(3)])
    np.testing.assert_allclose(gate(experts, seen).numpy(), [[[7.0]]], rtol=1e-6)


def test_access_decides_the_gradient_exactly() -> None:
    gate = layers.Gate((("train", "detached", "off"), ("off", "train", "train")))
    experts, seen = tf.random.stateless_normal([5, 3, 4], (1, 2)), tf.random.stateless_normal([5, 6], (3, 4))
    for task, flows in enumerate(((True, False, False), (False, True, True))):
        with tf.GradientTape() as tape:
            tape.watch(experts)
            loss = tf.reduce_sum(tf.square(gate(experts, seen)[:, task]))
        gradient = tape.gradient(loss, experts).numpy()
        for expert, flow in enumerate(flows):
            assert (np.abs(gradient[:, expert]).max() > 0) == flow


def test_a_detached_expert_is_read_all_the_same() -> None:
    experts, seen = tf.random.stateless_normal([5, 2, 4], (1, 2)), tf.random.stateless_normal([5, 6], (3, 4))
    detached, trained = layers.Gate((("train", "detached"),)), layers.Gate((("train", "train"),))
    detached(experts, seen), trained(experts, seen)
    trained.set_weights(detached.get_weights())
    np.testing.assert_allclose(detached(experts, seen), trained(experts, seen), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("access", [(("off", "off"),), (("train",), ("train", "train")), (("Train",),)])
def test_access_that_makes_no_sense(access: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"access|at least one expert"):
        layers.Gate(access)


def test_unknown_gate() -> None:
    with pytest.raises(ValueError, match="'softmax', 'shared' or 'mean'"):
        layers.Gate((("train",),), kind="max")


def test_towers_equal_one_network_a_task() -> None:
    towers = layers.Towers((4, 2))
    inputs = tf.random.stateless_normal([7, 3, 5], (5, 6))
    output = towers(inputs).numpy()
    kernels, biases = [w.numpy() for w in towers.weights[::2]], [w.numpy() for w in towers.weights[1::2]]
    for task in range(3):
        hidden = inputs.numpy()[:, task]
        for kernel, bias in zip(kernels, biases, strict=True):
            hidden = np.maximum(hidden @ kernel[task] + bias[task], 0)
        np.testing.assert_allclose(output[:, task], hidden, rtol=1e-5, atol=1e-6)


def test_towers_do_not_touch_one_another() -> None:
    towers = layers.Towers((4,), activation=None)
    inputs = tf.random.stateless_normal([7, 3, 5], (5, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(towers(inputs)[:, 1]))
    for gradient in tape.gradient(loss, towers.trainable_weights):
        assert np.abs(gradient.numpy()[1]).max() > 0
        np.testing.assert_array_equal(gradient.numpy()[[0, 2]], 0.0)


def test_towers_start_as_separate_networks_would() -> None:
    # Glorot's limit for 64 -> 32 is sqrt(6 / 96) = 0.25, whatever the number of towers.
    towers = layers.Towers((32,))
    towers(tf.zeros([1, 10, 64]))
    kernel = towers.weights[0].numpy()
    assert 0.24 < np.abs(kernel).max() <= 0.25


def test_inputs_of_each_equal_one_gate_a_task() -> None:
    gate = layers.Gate((("train", "train", "off"), ("train", "detached", "train")))
    experts, seen = tf.random.stateless_normal([5, 3, 4], (1, 2)), tf.random.stateless_normal([5, 2, 6], (3, 4))
    output = gate(experts, seen).numpy()
    for task in range(2):
        np.testing.assert_allclose(output[:, task], gate(experts, seen[:, task])[:, task].numpy(), rtol=1e-5, atol=1e-6)


def test_a_shared_gate_by_hand() -> None:
    # Scores (0, ln 3): weights (1/4, 3/4) for both tasks, so 1/4 * 4 + 3/4 * 8 = 7.
    gate = layers.Gate((("train", "train"),) * 2, kind="shared")
    experts, seen = tf.constant([[[4.0], [8.0]]]), tf.constant([[1.0]])
    gate(experts, seen)
    gate.set_weights([np.array([[0.0, np.log(3.0)]]), np.zeros(2)])
    np.testing.assert_allclose(gate(experts, seen).numpy(), [[[7.0], [7.0]]], rtol=1e-6)
    np.testing.assert_allclose(gate(experts, tf.tile(seen[:, tf.newaxis], [1, 2, 1])).numpy(), 7.0, rtol=1e-6)
    with pytest.raises(ValueError, match="all tasks share needs equal rows"):
        layers.Gate((("train", "off"), ("train", "train")), kind="shared")


def test_heads_equal_one_product_a_task() -> None:
    heads = layers.TaskHeads((0, 2, 2, 1, 0, 2))
    inputs = tf.random.stateless_normal([7, 3, 5], (5, 6))
    heads(inputs)
    heads.bias.assign(tf.random.stateless_normal([6, 1], (7, 8)))
    output, kernel, bias = heads(inputs).numpy(), heads.kernel.numpy(), heads.bias.numpy()
    for task, tower in enumerate(heads.tower_of):
        expected = inputs.numpy()[:, tower] @ kernel[task, :, 0] + bias[task, 0]
        np.testing.assert_allclose(output[:, task], expected, rtol=1e-5, atol=1e-6)


def test_a_head_trains_its_own_kernel_and_tower() -> None:
    heads = layers.TaskHeads((0, 2, 2, 1, 0, 2))
    inputs = tf.random.stateless_normal([7, 3, 5], (5, 6))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(heads(inputs)[:, 2])
    kernel, below = (gradient.numpy() for gradient in tape.gradient(loss, [heads.kernel, inputs]))
    assert np.flatnonzero(np.abs(kernel).sum(axis=(1, 2))).tolist() == [2]
    assert np.flatnonzero(np.abs(below).sum(axis=(0, 2))).tolist() == [2]


def test_invalid_heads() -> None:
    for tower_of in ((), (-1,)):
        with pytest.raises(ValueError, match="tower_of needs a tower"):
            layers.TaskHeads(tower_of)
    with pytest.raises(ValueError, match="Heads read tower 3, but there are 3"):
        layers.TaskHeads((3,))(tf.zeros([2, 3, 4]))
