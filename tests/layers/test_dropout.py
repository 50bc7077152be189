"""Dropout of few random bits: what is dropped, what is kept, its mean, and that it is Keras' layer in all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers import dropout
from fullrank.layers.dropout import Dropout
from fullrank.layers.legacy_keras import keras


@pytest.mark.parametrize("shape", [(1001, 37), (3, 5, 7), (1, 1)])
def test_units_are_zero_or_scaled_and_gradients_with_them(shape: tuple[int, ...]) -> None:
    inputs, layer = tf.Variable(tf.ones(shape)), Dropout(0.25)
    with tf.GradientTape() as tape:
        found = layer(inputs, training=True)
    # 0.25 is 16,384 of 65,536, and 1 / (1 - 0.25) = 4 / 3.
    assert set(np.unique(found.numpy())) <= {np.float32(0), np.float32(4 / 3)}
    np.testing.assert_array_equal(tape.gradient(found, inputs).numpy(), found.numpy())


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_is_the_rate_and_the_mean_stays(rate: float) -> None:
    keras.utils.set_random_seed(1)
    found = Dropout(rate)(tf.ones([1000, 1000]), training=True).numpy()
    share = (found == 0).mean()
    # One standard error of the share of a million units is below 0.0005, and the level is off by less than a 256th.
    assert share == pytest.approx(rate, abs=0.0025 + 1 / 256)
    assert found.mean() == pytest.approx(1.0, abs=(0.0025 + 1 / 256) / (1 - rate))
    # Neighbours, of which four come from one word, are dropped independently.
    both = (found[:, ::2] == 0) & (found[:, 1::2] == 0)
    assert both.mean() == pytest.approx(share**2, abs=0.0025)


@pytest.mark.parametrize("rate", [0.1, 0.1015, 0.03, 0.99])
def test_the_rate_is_the_mean_over_calls(rate: float) -> None:
    """0.1 is 25.6 of 256: a call drops 25 or 26 of 256 units. 0.03 and 0.99 are drawn by 16 bits."""
    keras.utils.set_random_seed(1)
    layer = Dropout(rate)
    step = tf.function(lambda: layer(tf.ones([64, 64]), training=True), autograph=False)
    found = np.stack([step().numpy() for _ in range(400)])
    # Four standard errors of 1.6 million units, and of 400 draws of the level.
    assert (found == 0).mean() == pytest.approx(rate, abs=4 * (0.5 / 1280 + 0.5 / 256 / 20))
    assert found.mean() == pytest.approx(1.0, abs=4 * (0.5 / 1280 + 0.5 / 256 / 20) / (1 - rate))


@pytest.mark.parametrize("level", [8 * 256, 6554, 2**15 + 1, 248 * 256])
def test_the_probability_is_exact(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over every value of a unit's byte and of the byte that lifts the level."""

    def every(_: Any, shape: list[int], dtype: tf.DType) -> tf.Tensor:
        assert dtype == tf.uint8
        return tf.concat([tf.range(256), [next(lasts)]], axis=0)[: int(shape[0])]

    monkeypatch.setattr(dropout, "random_bits", lambda *given: tf.cast(every(*given), tf.uint8))
    kept, lasts = 0, iter(range(256))
    for _ in range(256):
        kept += int(tf.math.count_nonzero(Dropout(level / 2**16)(tf.ones([256]), training=True)))
    assert kept == 2**16 - level


def test_each_call_draws_again_and_a_seed_repeats_all() -> None:
    def drawn() -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        keras.utils.set_random_seed(3)
        layer = Dropout(0.5)
        traced = tf.function(lambda: layer(tf.ones([20, 20]), training=True), autograph=False)
        return [traced().numpy() for _ in range(2)]

    first, second = drawn(), drawn()
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True), (0.0, False)])
def test_nothing_is_dropped_without_training_or_rate(rate: float, training: bool) -> None:
    inputs = tf.random.normal([4, 3])
    np.testing.assert_array_equal(Dropout(rate)(inputs, training=training), inputs)


@pytest.mark.parametrize("given", [{"rate": 1e-6}, {"rate": 0.5, "noise_shape": (None, 1)}])
def test_what_bits_cannot_say_is_left_to_keras(given: dict[str, object]) -> None:
    keras.utils.set_random_seed(1)
    found = Dropout(**given)(tf.ones([50, 4]), training=True).numpy()
    if "noise_shape" in given:
        np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    else:
        assert np.abs(found - 1).max() < 1e-5


def test_works_in_half_precision_and_by_xla() -> None:
    layer = Dropout(0.25, dtype="bfloat16")
    found = tf.function(lambda x: layer(x, training=True), autograph=False)(tf.ones([64, 64]))
    assert found.dtype == tf.bfloat16
    assert set(np.unique(found.numpy().astype(np.float32))) == {0.0, np.float32(tf.bfloat16.as_numpy_dtype(4 / 3))}
    float32 = Dropout(0.25)
    compiled = tf.function(lambda x: float32(x, training=True), jit_compile=True, autograph=False)
    assert set(np.unique(compiled(tf.ones([64, 64])).numpy())) == {0.0, np.float32(4 / 3)}
