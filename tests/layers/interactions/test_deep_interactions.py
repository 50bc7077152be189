"""Interactions of several layers, against numbers by hand and slow loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers

Array = np.ndarray[Any, Any]


def fields_of(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_compressed_interaction_by_hand() -> None:
    # F = 2, d = 1, e = (2, 3), one map with W = [[1, 2], [3, 4]]: 1*4 + 2*6 + 3*6 + 4*9 = 70.
    layer, fields = layers.CompressedInteraction((1,)), np.array([[[2.0], [3.0]]], np.float32)
    layer(fields)
    layer.set_weights([np.array([[1.0], [2.0], [3.0], [4.0]])])
    np.testing.assert_allclose(layer(fields).numpy(), [[70.0]])


def test_compressed_interaction_equals_the_loops() -> None:
    layer, fields = layers.CompressedInteraction((3, 2)), fields_of(2, 4, 5)
    layer(fields)
    first = fields.astype(np.float64)
    current, sums = first, []
    for kernel in layer.get_weights():
        maps = kernel.shape[1]
        weights = kernel.reshape(current.shape[1], 4, maps)
        following = np.zeros((2, maps, 5))
        for h in range(maps):
            for i in range(current.shape[1]):
                for j in range(4):
                    following[:, h] += weights[i, j, h] * current[:, i] * first[:, j]
        current = following
        sums.append(current.sum(axis=2))
    np.testing.assert_allclose(layer(fields).numpy(), np.concatenate(sums, axis=1), rtol=1e-5, atol=1e-5)


def test_compressed_interaction_needs_a_layer() -> None:
    with pytest.raises(ValueError, match="one layer or more"):
        layers.CompressedInteraction(())


def softmax(logits: Array) -> Array:
    powers: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


@pytest.mark.parametrize("scale", [True, False])
def test_field_attention_equals_the_loops(scale: bool) -> None:
    heads, width = 2, 3
    layer, fields = layers.FieldAttention(2, heads=heads, width=width, scale=scale), fields_of(2, 4, 5)
    output = layer(fields).numpy()
    current = fields.astype(np.float64)
    for kernel in layer.get_weights():
        parts = (current @ kernel).reshape(2, 4, 4, heads, width)
        following = np.zeros((2, 4, heads, width))
        for b in range(2):
            for a in range(heads):
                query, key, value, residual = (parts[b, :, part, a] for part in range(4))
                shares = softmax(query @ key.T / (np.sqrt(width) if scale else 1.0))
                following[b, :, a] = np.maximum(shares @ value + residual, 0.0)
        current = following.reshape(2, 4, heads * width)
    np.testing.assert_allclose(output, current.reshape(2, -1), rtol=1e-4, atol=1e-5)


def test_field_attention_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="heads=0"):
        layers.FieldAttention(heads=0)


def test_two_streams_by_hand() -> None:
    # One field (1, 2). The gates' last layers are zero, so 2 sigma(0) = 1 and each stream reads (1, 2) as it is.
    # Stream 1 sums it, 3, and copies its first number, 1; stream 2 gives 2 and 1. One head, W = [[0, 1], [1, 1]]:
    # (3, 1) W = (1, 4); times (2, 1): (2, 4), whose sum 6 is the bilinear form of the paper.
    layer = layers.TwoStream((2,), heads=1, gate=1)
    fields = np.array([[[1.0, 2.0]]], np.float32)
    layer(fields)
    values = {
        "stream_0/dense_0/kernel": [[1.0, 1.0], [1.0, 0.0]],
        "stream_1/dense_0/kernel": [[0.0, 1.0], [1.0, 0.0]],
        "bilinear": [[[0.0, 1.0], [1.0, 1.0]]],
    }
    for weight in layer.weights:
        name = next((each for each in values if weight.name.removesuffix(":0").endswith(each)), None)
        weight.assign(np.zeros(weight.shape) if name is None else np.array(values[name]))
    np.testing.assert_allclose(layer(fields).numpy(), [[3.0, 1.0, 2.0, 1.0, 2.0, 4.0]])


def test_two_streams_equal_the_formula() -> None:
    layer, fields = layers.TwoStream((6,), heads=3, contexts=((1,), (0, 2)), gate=4), fields_of(5, 3, 2)
    output = layer(fields).numpy()
    first, second = output[:, :6], output[:, 6:12]
    (bilinear,) = (weight.numpy() for weight in layer.weights if "bilinear" in weight.name)
    slow = np.zeros((5, 6))
    for head in range(3):
        pieces = slice(2 * head, 2 * head + 2)
        slow[:, pieces] = (first[:, pieces] @ bilinear[head]) * second[:, pieces]
    np.testing.assert_allclose(output[:, 12:], slow, rtol=1e-5, atol=1e-6)


def test_a_gate_reads_its_context_alone() -> None:
    layer, fields = layers.TwoStream((4,), heads=2, contexts=((1,), (0,))), tf.constant(fields_of(3, 3, 2))
    layer(fields)
    with tf.GradientTape() as tape:
        tape.watch(fields)
        total = tf.reduce_sum(layer._opened(0, fields) ** 2)
    gradient = tape.gradient(total, fields).numpy()
    assert np.abs(gradient[:, 1]).sum() > 0
    np.testing.assert_array_equal(gradient[:, [0, 2]], 0.0)


def test_two_streams_reject_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        layers.TwoStream((5,), heads=2)
    with pytest.raises(ValueError, match="two gates"):
        layers.TwoStream((4,), contexts=((1,),))
    with pytest.raises(ValueError, match="field 7"):
        layers.TwoStream((4,), contexts=((7,), ()))(tf.ones([2, 3, 2]))


def test_stack_of_nothing_but_its_short_cut_is_a_norm() -> None:
    # The interaction's projection is zero, so that X_1 = LayerNorm(X_0); of (1, 3) it is (-1, 1).
    layer = layers.InteractionStack([[layers.FactorizationMachine()]])
    fields = np.array([[[1.0, 3.0], [4.0, 2.0]]], np.float32)
    layer(fields)
    for weight in layer.weights:
        if "back" in weight.name:
            weight.assign(tf.zeros_like(weight))
    np.testing.assert_allclose(layer(fields).numpy(), [[-1.0, 1.0, 1.0, -1.0]], atol=1e-5)


def test_stack_equals_its_parts() -> None:
    flat, fm = layers.FlatDNN((3,)), layers.FactorizationMachine()
    layer, fields = layers.InteractionStack([[flat, fm], [layers.CrossNetV2(1)]]), fields_of(4, 3, 2)
    output = layer(fields).numpy()
    first, second, third = layer._back
    x1 = layer._norms[0](tf.reshape(first(flat(fields)) + second(fm(fields)), (-1, 3, 2)) + fields)
    x2 = layer._norms[1](tf.reshape(third(layer.interactions[2](x1)), (-1, 3, 2)) + x1)
    np.testing.assert_allclose(output, tf.reshape(x2, (4, 6)).numpy(), rtol=1e-5, atol=1e-5)


def test_stack_needs_interactions() -> None:
    none: list[list[Any]] = []
    for given in (none, [none]):
        with pytest.raises(ValueError, match="at least one layer"):
            layers.InteractionStack(given)


@pytest.mark.parametrize("scale", [True, False])
def test_field_attention_in_float64_is_exact_to_float64(scale: bool) -> None:
    draw = np.random.default_rng(4)
    fields = draw.normal(size=(5, 4, 3))
    layer = layers.FieldAttention(2, heads=2, width=3, scale=scale, dtype="float64")
    found = layer(tf.constant(fields)).numpy()
    for kernel in layer.get_weights():
        # [heads of queries | keys | values | residual], each of 2 heads of width 3.
        query, key, value, residual = (
            np.moveaxis(part.reshape(5, 4, 2, 3), 2, 1) for part in np.split(fields @ kernel, 4, axis=-1)
        )
        logits = query @ np.moveaxis(key, -1, -2) / (3**0.5 if scale else 1.0)
        shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        fields = np.moveaxis(np.maximum(shares @ value + residual, 0), 1, 2).reshape(5, 4, 6)
    np.testing.assert_allclose(found, fields.reshape(5, -1), rtol=0, atol=1e-12)
