"""Layers that embed real numbers: by hand, against NumPy, and whether near numbers stay near."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import layers

NAN = float("nan")
MANY: dict[str, Callable[[], keras.layers.Layer]] = {
    "scaled": lambda: layers.ScaledNumber(4, mean=0.3, std=2.0),
    "buckets": lambda: layers.BucketEmbedding(4, boundaries=(-1.0, 0.0, 1.0)),
    "piecewise": lambda: layers.PiecewiseEmbedding(4, knots=(-1.0, 0.0, 1.0)),
    "mns": lambda: layers.MultipleNumeralSystem(4, bits=5, low=-2.0, high=2.0),
    "autodis": lambda: layers.AutoDis(4, buckets=5),
    "periodic": lambda: layers.PeriodicFeatures(4, frequencies=3),
}


def test_scaled_number_by_hand() -> None:
    # (7 - 3) / 2 = 2 times (1, 10); 1000 is clipped at 8 deviations; a missing number reads its own row.
    layer = layers.ScaledNumber(2, mean=3.0, std=2.0)
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[1.0, 10.0]]), np.array([[-1.0, -2.0]])])
    np.testing.assert_allclose(layer(tf.constant([7.0, 1000.0, NAN])).numpy(), [[2, 20], [8, 80], [-1, -2]])


def test_bucket_embedding_by_hand() -> None:
    # Boundaries 1, 2 make three buckets, rows 1 to 3; a boundary belongs to the upper bucket; row 0 is missing.
    layer = layers.BucketEmbedding(1, boundaries=(1.0, 2.0))
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[0.0], [10.0], [20.0], [30.0]])])
    output = layer(tf.constant([-9.0, 1.0, 1.9, 2.0, float("inf"), NAN])).numpy()[:, 0]
    np.testing.assert_array_equal(output, [10, 20, 20, 30, 30, 0])


def test_piecewise_embedding_by_hand() -> None:
    # Between knots 0, 10 and 30 the number 15 is a quarter of the way from row 2 to row 3: .75 * 20 + .25 * 60.
    layer = layers.PiecewiseEmbedding(1, knots=(0.0, 10.0, 30.0))
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[-1.0], [10.0], [20.0], [60.0]])])
    output = layer(tf.constant([15.0, 0.0, 10.0, 30.0, -9.0, float("inf"), -float("inf"), NAN])).numpy()[:, 0]
    np.testing.assert_allclose(output, [30, 10, 20, 60, 10, 60, 10, -1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_piecewise_embedding_is_numpys_interpolation(dtype: str) -> None:
    random = np.random.default_rng(3)
    knots = np.sort(random.normal(size=(2, 7)), axis=1).astype(np.float32).astype(np.float64)
    knots[1, 4:] = np.inf  # the second number has four knots
    knots[0, 2] = knots[0, 1]  # and the first one a jump
    layer = layers.PiecewiseEmbedding(3, knots=tuple(map(tuple, knots.tolist())), dtype=dtype)
    values = random.normal(size=(200, 2)).astype(dtype)
    found = layer(values).numpy()
    table = layer.get_weights()[0].reshape(2, 8, 3)
    for number, kept in enumerate((7, 4)):
        for k in range(3):
            expected = np.interp(values[:, number], knots[number, :kept], table[number, 1 : kept + 1, k])
            np.testing.assert_allclose(found[:, number, k], expected, rtol=1e-5, atol=1e-6)


def test_the_ends_of_float32_are_no_trouble_between_knots() -> None:
    layer = layers.PiecewiseEmbedding(2, knots=(-3e38, 3e38))
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])])
    np.testing.assert_allclose(layer(tf.constant([-3e38, 0.0, 3e38])).numpy(), [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def test_only_the_two_rows_around_a_number_learn() -> None:
    layer = layers.PiecewiseEmbedding(1, knots=(0.0, 10.0, 30.0))
    layer(tf.zeros([1]))
    with tf.GradientTape() as tape:
        output = tf.reduce_sum(layer(tf.constant([15.0])))
    gradient = tf.convert_to_tensor(tape.gradient(output, layer.weights[0])).numpy()
    np.testing.assert_array_equal(gradient[:, 0], [0, 0, 0.75, 0.25])


def test_numerals_of_several_numbers_by_hand() -> None:
    # Two numbers, each with 2 bits and its own map: 3 of 0..3 is 11 (rows 1 + 1, 3 + 1), 10 of 0..30 is 1, which is
    # 01 (rows 1 + 1, 3 + 0) of the second five rows. Row r holds 10^r.
    layer = layers.MultipleNumeralSystem(1, bases=(2,), bits=2, knots=((0.0, 3.0), (0.0, 30.0)))
    layer(tf.zeros([1, 2]))
    layer.set_weights([10.0 ** np.arange(10)[:, None]])
    output = layer(tf.constant([[3.0, 10.0], [NAN, NAN]])).numpy()[:, :, 0]
    np.testing.assert_allclose(output, [[1e2 + 1e4, 1e7 + 1e8], [1.0, 1e5]])


def test_auto_dis_by_hand() -> None:
    # w = (1, -1), W = 0, alpha = 1, tau = 1, slope 0.5: x = 2 gives h = (2, -1), shares softmax(2, -1).
    layer = layers.AutoDis(1, buckets=2, alpha=1.0, temperature=1.0, slope=0.5)
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[1.0, -1.0]]), np.zeros((1, 2, 2)), np.array([[[1.0], [0.0]]]), np.array([[7.0]])])
    first = np.exp(2) / (np.exp(2) + np.exp(-1))
    np.testing.assert_allclose(layer(tf.constant([2.0, 0.0, NAN])).numpy()[:, 0], [first, 0.5, 7.0], rtol=1e-6)


def test_auto_dis_equals_numpy() -> None:
    layer, values = layers.AutoDis(3, buckets=4, alpha=0.3, temperature=0.5), np.array([[0.4, -1.2], [2.0, 0.1]])
    output = layer(tf.constant(values, tf.float32)).numpy()
    first, second, meta, _ = layer.get_weights()
    for b, f in np.ndindex(2, 2):
        h = values[b, f] * first[f]
        h = np.where(h > 0, h, 0.1 * h)
        scores = np.exp((h @ second[f] + 0.3 * h) / 0.5)
        np.testing.assert_allclose(output[b, f], scores / scores.sum() @ meta[f], rtol=1e-4, atol=1e-6)


def test_auto_dis_at_a_low_temperature_is_one_bucket() -> None:
    layer = layers.AutoDis(3, buckets=4, temperature=1e-3)
    layer(tf.zeros([1]))
    shares = layer.shares(tf.constant([1.0]))
    np.testing.assert_allclose(np.sort(shares.numpy()[0, 0]), [0, 0, 0, 1], atol=1e-3)


def test_periodic_features_by_hand() -> None:
    # c = 1/4, x = 1: sin(pi / 2) = 1 and cos = 0; x = 2: sin 0 and cos -1. W = (3, 2), b = -0.5.
    layer = layers.PeriodicFeatures(1, frequencies=1)
    layer(tf.zeros([1]))
    layer.set_weights([np.array([[0.25]]), np.array([[[3.0], [2.0]]]), np.array([[-0.5]]), np.array([[-9.0]])])
    output = layer(tf.constant([1.0, 2.0, 4.0, NAN])).numpy()[:, 0]
    # x = 4 is a whole period: like 0, 2 - 0.5. relu(-2 - 0.5) = 0. A missing number's row passes no relu.
    np.testing.assert_allclose(output, [2.5, 0.0, 1.5, -9.0], atol=1e-6)


def test_periodic_features_equal_numpy() -> None:
    layer, values = layers.PeriodicFeatures(3, frequencies=2, sigma=1.0), np.array([[0.4, -1.2], [2.0, 0.1]])
    output = layer(tf.constant(values, tf.float32)).numpy()
    c, kernel, bias, _ = layer.get_weights()
    for b, f in np.ndindex(2, 2):
        phases = 2 * np.pi * c[f] * values[b, f]
        linear = np.concatenate([np.sin(phases), np.cos(phases)]) @ kernel[f] + bias[f]
        np.testing.assert_allclose(output[b, f], np.maximum(linear, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MANY)
def test_many_numbers_equal_one_at_a_time(name: str) -> None:
    values = tf.constant([[0.3, -1.0, NAN], [NAN, 5.0, 0.0], [-0.7, 0.1, 1.0]])
    together = MANY[name]()
    expected = together(values).numpy()
    assert expected.shape == (3, 3, 4)
    for k in range(3):
        alone = MANY[name]()
        alone(values[:, k])
        pieces = [np.split(weight, 3)[k] for weight in together.get_weights()]
        alone.set_weights(pieces)
        np.testing.assert_allclose(alone(values[:, k]).numpy(), expected[:, k], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MANY)
def test_a_missing_number_has_one_row_and_no_part_in_other_gradients(name: str) -> None:
    layer = MANY[name]()
    values = tf.constant([NAN, NAN, float("inf"), -float("inf"), 1e30])
    output = layer(values).numpy()
    assert np.isfinite(output).all()
    np.testing.assert_array_equal(output[0], output[1])
    assert not np.allclose(output[0], output[2])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([NAN])))
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, layer.weights)]
    # d = 4 entries of the missing row, and nothing else.
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert sum(np.count_nonzero(gradient) for gradient in gradients) == 4


@pytest.mark.parametrize("name", ["autodis", "periodic", "scaled", "piecewise"])
def test_near_numbers_are_nearer_than_far_ones(name: str) -> None:
    keras.utils.set_random_seed(5)
    make: dict[str, Callable[[], Any]] = {
        "autodis": lambda: layers.AutoDis(64),
        "periodic": lambda: layers.PeriodicFeatures(64),
        "scaled": lambda: layers.ScaledNumber(64),
        "piecewise": lambda: layers.PiecewiseEmbedding(64, knots=tuple(np.linspace(-2, 2, 9).tolist())),
    }
    layer = make[name]()
    embedded = layer(tf.linspace(-2.0, 2.0, 64)).numpy()
    distance = np.linalg.norm(embedded[:, None] - embedded[None], axis=-1)
    assert np.diagonal(distance, 1).mean() < 0.7 * np.diagonal(distance, 32).mean()


def test_127_and_128_are_near_in_ternary_only() -> None:
    # All 8 binary digits differ, but only 1 of 6 ternary ones (11201 and 11202): with rows of unit length in directions
    # of their own, squared distances are 2 * 8 and 2 * 1.
    for bases, expected in (((2,), 16.0), ((3,), 2.0)):
        layer = layers.MultipleNumeralSystem(40, bases=bases, bits=8, low=0.0, high=255.0)
        layer(tf.zeros([1]))
        layer.set_weights([np.eye(len(layer.get_weights()[0]), 40)])
        embedded = layer(tf.constant([127.0, 128.0])).numpy()
        np.testing.assert_allclose(np.square(embedded[0] - embedded[1]).sum(), expected)


def test_the_largest_of_31_bits_is_not_rounded_out_of_the_range() -> None:
    # 2^31 - 1 is not a float32; rounded up it would have 32 binary digits, of which the lowest 31 are 0, as those of 0.
    layer = layers.MultipleNumeralSystem(2, bases=(2,), bits=31)
    low, high = layer(tf.constant([0.0, 1.0], tf.float64)).numpy()
    assert not np.allclose(low, high)


@pytest.mark.parametrize("name", ["autodis", "periodic", "mns", "buckets", "scaled", "piecewise"])
def test_numbers_are_compared_in_float32_under_mixed_bfloat16(name: str) -> None:
    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    make: dict[str, Callable[[], Any]] = {
        "autodis": lambda: layers.AutoDis(8, temperature=1e-3, dtype=policy),
        "periodic": lambda: layers.PeriodicFeatures(8, sigma=50.0, dtype=policy),
        "mns": lambda: layers.MultipleNumeralSystem(8, bits=16, low=0.0, high=2.0, dtype=policy),
        "buckets": lambda: layers.BucketEmbedding(8, boundaries=(1.0005,), dtype=policy),
        "scaled": lambda: layers.ScaledNumber(8, mean=1.0, std=1e-3, dtype=policy),
        "piecewise": lambda: layers.PiecewiseEmbedding(8, knots=(1.0, 1.002), dtype=policy),
    }
    layer = make[name]()
    # bfloat16 has 1 and 1.0078 as neighbours: all of these would be 1.
    values = tf.constant([1.0, 1.001, 1.002])
    output = tf.cast(layer(values), tf.float32).numpy()
    full = layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})
    full(values)
    full.set_weights(layer.get_weights())
    np.testing.assert_allclose(output, full(values).numpy(), atol=0.02 * np.abs(full(values).numpy()).max())
    if name != "autodis":
        assert not np.allclose(output[0], output[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ScaledNumber(2, std=0.0), "std must be positive"),
        (lambda: layers.BucketEmbedding(2, boundaries=(2.0, 1.0)), "do not decrease"),
        (lambda: layers.PiecewiseEmbedding(2, knots=(2.0, 1.0)), "do not decrease"),
        (lambda: layers.PiecewiseEmbedding(2, knots=(float("-inf"), 1.0)), "first one finite"),
        (lambda: layers.AutoDis(2, temperature=0.0), "positive temperature"),
        (lambda: layers.PeriodicFeatures(2, sigma=-1.0), "positive sigma"),
        (lambda: layers.MultipleNumeralSystem(2, knots=((0.0, 1.0), (2.0, 1.0))), "do not decrease"),
        (lambda: layers.MultipleNumeralSystem(2, low=5.0, high=5.0), "needs low < high"),
        (lambda: layers.MultipleNumeralSystem(2, knots=((0.0, 1.0),) * 3)(tf.zeros([1, 2])), "for 3 numbers"),
        (lambda: layers.AutoDis(2)(tf.zeros([1, 2, 3])), r"takes values \[B\] or \[B, n\] of numbers"),
    ],
)
def test_invalid_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
