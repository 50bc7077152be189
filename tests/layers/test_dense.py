"""A dense layer is Keras', except that its bias gets the whole gradient in bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import layers

LOW = keras.mixed_precision.Policy("mixed_bfloat16")


def gradient_of_bias(layer: keras.layers.Layer, inputs: Any) -> np.ndarray[Any, Any]:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(inputs), tf.float32))
    return np.asarray(tape.gradient(loss, layer.bias))


def test_the_gradient_of_a_bias_in_bfloat16_by_hand() -> None:
    # The sum of 2,048 outputs grows by 2,048 when the bias does by 1. Kept in 8 bits, it would stop at 256.
    inputs = tf.ones([2048, 3])
    np.testing.assert_array_equal(gradient_of_bias(layers.Dense(2, dtype=LOW), inputs), [2048.0, 2048.0])
    np.testing.assert_array_equal(gradient_of_bias(layers.Dense(2), inputs), [2048.0, 2048.0])


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="the fault is that of the CPU's kernel")
def test_why_it_is_not_keras_layer() -> None:
    found = gradient_of_bias(keras.layers.Dense(1, dtype=LOW), tf.ones([2048, 3]))
    assert found < 2048, "Keras' bias gradient is whole on this TensorFlow: layers.Dense has lost its reason"


@pytest.mark.parametrize("shape", [(7, 5), (7, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_keras(shape: tuple[int, ...], bias: bool) -> None:
    inputs = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    for dtype in (None, LOW):
        ours = layers.Dense(4, activation="relu", use_bias=bias, bias_initializer="uniform", dtype=dtype)
        keras_layer = keras.layers.Dense(4, activation="relu", use_bias=bias, dtype=dtype)
        ours(inputs), keras_layer(inputs)
        keras_layer.set_weights(ours.get_weights())
        assert ours(inputs).shape == keras_layer(inputs).shape
        np.testing.assert_array_equal(np.float32(ours(inputs)), np.float32(keras_layer(inputs)))
