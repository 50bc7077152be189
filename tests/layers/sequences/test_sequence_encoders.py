"""The encoders beside TIM: target attention against a slow loop, self-attention, padding, and the choice by name."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import layers
from fullrank.models.encoding.sequence_encoders import sequence_encoder

MASK = np.array([[True, True, True, False], [True, False, False, False], [False, False, False, False]])


def drawn() -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(3)
    return chance.normal(size=(3, 4, 6)).astype(np.float32), chance.normal(size=(3, 6)).astype(np.float32)


def test_target_attention_is_the_sum_of_its_behaviours_alone() -> None:
    behaviours, target = drawn()
    layer = layers.TargetAttention((5,))
    output = layer(behaviours, target, MASK).numpy()
    for example in range(3):
        expected = np.zeros(6, np.float32)
        for place in np.flatnonzero(MASK[example]):
            one = behaviours[example : example + 1, place : place + 1]
            expected += layer(one, target[example : example + 1], np.array([[True]])).numpy()[0]
        np.testing.assert_allclose(output[example], expected, rtol=1e-4, atol=1e-5)


def test_target_attention_against_numpy() -> None:
    """The MLP of the paper on [e, v, e - v, e * v]: its kernel's parts are the layer's, with W_d = 0."""
    behaviours, target = drawn()
    layer = layers.TargetAttention((5,))
    layer(behaviours, target, MASK)
    chance = np.random.default_rng(7)
    layer.set_weights([chance.normal(size=weight.shape).astype(np.float32) for weight in layer.weights])
    output = layer(behaviours, target, MASK).numpy()
    kernel = np.concatenate(
        [layer._of_behaviour, layer._of_target.kernel, np.zeros((6, 5), np.float32), layer._of_product]
    )
    slopes, score = np.asarray(layer._bends[0].alpha)[0], layer._score
    for example in range(3):
        expected = np.zeros(6, np.float32)
        for e in behaviours[example][MASK[example]]:
            v = target[example]
            hidden = np.concatenate([e, v, e - v, e * v]) @ kernel + np.asarray(layer._of_target.bias)
            hidden = np.where(hidden > 0, hidden, slopes * hidden)
            expected += (hidden @ np.asarray(score.kernel) + np.asarray(score.bias))[0] * e
        np.testing.assert_allclose(output[example], expected, rtol=1e-4, atol=1e-4)


def test_normalised_target_attention_is_a_mean() -> None:
    behaviours, target = drawn()
    equal = np.repeat(behaviours[:1, :1], 4, axis=1)
    output = layers.TargetAttention((5, 4), normalise=True)(equal, target[:1], MASK[:1]).numpy()
    np.testing.assert_allclose(output[0], equal[0, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.TargetAttention(),
        layers.SelfAttention(4),
        layers.SelfAttention(4, blocks=2),
        layers.SelfAttention(4, blocks=2, target=False),
    ],
    ids=["din", "one block", "two blocks", "no target"],
)
def test_padding_has_no_effect_and_no_history_is_zero(layer: keras.layers.Layer) -> None:
    behaviours, target = drawn()
    first = layer(behaviours, target, MASK).numpy()
    other = np.where(MASK[:, :, np.newaxis], behaviours, np.float32(7.0))
    np.testing.assert_allclose(layer(other, target, MASK).numpy(), first, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first[2], 0.0)
    variable = tf.Variable(behaviours)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(variable, target, MASK)))
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()
    np.testing.assert_array_equal(gradient[~MASK], 0.0)
    assert np.abs(gradient[MASK]).max(axis=-1).min() > 0
    np.testing.assert_array_equal(layer(behaviours[:, :0], target, MASK[:, :0]), np.zeros((3, 6)))


def test_without_a_target_the_last_behaviour_is_read() -> None:
    behaviours, target = drawn()
    layer = layers.SelfAttention(1, target=False)  # a single position, so that it does not tell which is the last
    layer(behaviours, target, MASK)
    for block in layer._blocks:  # the attention adds nothing, nor does the network
        for weights in (block._attend.weights, block._narrow.weights):
            for weight in weights:
                weight.assign(tf.zeros_like(weight))
    output = layer(behaviours, target, MASK).numpy()
    for row, last in ((0, 2), (1, 0)):
        token = behaviours[row, last] + layer._positions[1].numpy()
        np.testing.assert_allclose(output[row], (token - token.mean()) / token.std(), rtol=1e-4, atol=1e-5)


def test_self_attention_sees_the_order_of_behaviours() -> None:
    behaviours, target = drawn()
    layer = layers.SelfAttention(4)
    forward = layer(behaviours[:1, :3], target[:1], MASK[:1, :3]).numpy()
    backward = layer(behaviours[:1, 2::-1], target[:1], MASK[:1, :3]).numpy()
    assert np.abs(forward - backward).max() > 1e-6
    layer._positions.assign(tf.zeros_like(layer._positions))
    forward = layer(behaviours[:1, :3], target[:1], MASK[:1, :3]).numpy()
    backward = layer(behaviours[:1, 2::-1], target[:1], MASK[:1, :3]).numpy()
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-5)


def test_parts_are_left_out_of_tim_alone() -> None:
    encoder = sequence_encoder("tim", without=("position", "attention"), length=4, timed=True, name="s")
    assert (encoder.layer.position, encoder.layer.interval, encoder.layer.attention) == (False, True, False)
    assert sequence_encoder("tim", length=4, timed=False, name="s").reads == ("behaviours", "target", "mask")
    with pytest.raises(ValueError, match="only tim has them"):
        sequence_encoder("din", without=("position",), length=4, timed=True, name="s")
    with pytest.raises(ValueError, match="Known: tim, din, self_attention, mean"):
        sequence_encoder("gru", length=4, timed=True, name="s")  # type: ignore[arg-type]
