"""HashID: by hand, by the law of the angle, and the same bits from the layer and from the command's code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data, layers
from fullrank.data.content import sign_bits as numpy_side
from fullrank.layers.content import hash_id

NAN = float("nan")


def test_signs_by_hand() -> None:
    # The normals point right, up, and to the upper left. (2, 1) lies on their sides +, +, - (-2 + 1 < 0); (-3, 0) is
    # on -, neither (which counts as 0), +. A vector without direction or with a number that is none is missing.
    normals = tf.constant([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]], tf.float64)
    vectors = tf.constant([[2.0, 1.0], [-3.0, 0.0], [0.0, 0.0], [NAN, 1.0], [math.inf, 1.0]], tf.float64)
    expected = [[1, 1, 0], [0, 0, 1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    np.testing.assert_array_equal(hash_id.sign_bits(vectors, normals).numpy(), expected)


def test_only_the_direction_counts() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    layer = layers.HashID(64, seed=3)
    expected = layer(vectors).numpy()
    for scale in (1e-36, 3.0, 1e37):
        np.testing.assert_array_equal(layer(vectors * np.float32(scale)).numpy(), expected)
    np.testing.assert_array_equal(layer(-vectors).numpy(), 1 - expected)


@pytest.mark.parametrize("degrees", [0, 10, 60, 90, 150, 180])
def test_a_bit_differs_with_probability_angle_over_pi(degrees: int) -> None:
    # Two vectors in a plane, 40,000 hyperplanes: the share that separates them has standard deviation below 0.0025.
    angle = math.radians(degrees)
    first = np.array([1.0, 0.0, 0.0, 0.0])
    second = np.array([math.cos(angle), 0.0, math.sin(angle), 0.0])
    bits = layers.HashID(40_000, seed=7)(tf.constant([first, second])).numpy()
    share = float((bits[0] != bits[1]).mean())
    assert abs(share - angle / math.pi) < 0.01
    assert share > 0 or degrees == 0


def test_the_distance_of_many_pairs_is_what_the_angle_says() -> None:
    draw = np.random.default_rng(1)
    first = draw.normal(size=(2000, 32))
    second = first + draw.uniform(0, 3, size=(2000, 1)) * draw.normal(size=(2000, 32))
    cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    layer = layers.HashID(256, seed=2)
    distance = (layer(first).numpy() != layer(second).numpy()).sum(1)
    expected = 256 * np.arccos(cosine) / math.pi
    # A distance is a sum of 256 coins: deviation at most 8, and of the mean of 2,000 pairs about 0.2.
    assert abs(float((distance - expected).mean())) < 2.0
    assert float((distance - expected).std()) < 9.0


def test_centring_separates_vectors_that_lie_in_one_cone() -> None:
    draw = np.random.default_rng(2)
    mean = np.full(16, 10.0)
    vectors = mean + draw.normal(size=(300, 16))
    raw = layers.HashID(64, seed=1)(vectors).numpy()
    centred = layers.HashID(64, seed=1, center=mean.tolist())(vectors).numpy()
    # Around a far mean most hyperplanes have all vectors on one side; around 0 half of the bits are ones.
    assert np.abs(raw.mean(0) - 0.5).mean() > 0.4
    assert np.abs(centred.mean(0) - 0.5).mean() < 0.1
    np.testing.assert_array_equal(centred, layers.HashID(64, seed=1)(vectors - mean).numpy())
    np.testing.assert_array_equal(layers.HashID(8, seed=1, center=mean.tolist())(mean[np.newaxis]).numpy(), [[-1] * 8])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("center", [False, True])
def test_the_layer_and_the_command_give_the_same_bits(kind: type[np.floating], center: bool) -> None:
    draw = np.random.default_rng(3)
    # Small whole numbers make products that are exactly 0, where rounding would decide.
    vectors = np.concatenate([draw.normal(size=(500, 24)), draw.integers(-1, 2, size=(500, 24))]).astype(kind)
    vectors[5, 3], vectors[6, 0], vectors[7] = NAN, math.inf, 0
    mean = vectors[100:].astype(np.float64).mean(0) if center else None
    bits = layers.HashID(96, seed=11, center=None if mean is None else mean.tolist())(tf.constant(vectors)).numpy()
    normals = numpy_side.projections(96, dimension=24, seed=11)
    np.testing.assert_array_equal(numpy_side.sign_bits(vectors, normals=normals, center=mean), bits)
    np.testing.assert_array_equal(data.hash_vectors(vectors, bits=96, seed=11, center=mean), bits)
    assert (bits[5:8] == -1).all()
    assert (bits[8:] >= 0).all()


def test_sums_are_exact_at_the_widest_vectors() -> None:
    # All products have one sign, the worst case: 16,384 of at most 2^24 * 2^15 add up to at most 2^53.
    wide = hash_id.MOST_DIMENSIONS
    normals = np.abs(hash_id.projections(2, dimension=wide, seed=0))
    assert normals.max() < 2**15
    exact = sum(int(number) << 24 for number in normals[0])
    assert float(np.full(wide, 2.0**24) @ normals[0]) == exact
    with pytest.raises(ValueError, match=r"1 to 16,384 numbers. Received: 16,385"):
        hash_id.projections(2, dimension=wide + 1, seed=0)


def test_more_bits_begin_with_fewer_and_both_sides_draw_equally() -> None:
    long = hash_id.projections(64, dimension=5, seed=9)
    np.testing.assert_array_equal(hash_id.projections(32, dimension=5, seed=9), long[:32])
    np.testing.assert_array_equal(numpy_side.projections(64, dimension=5, seed=9), long)
    assert (hash_id.projections(64, dimension=5, seed=10) != long).mean() > 0.9
    # The stream is frozen: these numbers must never change, or stored bits lose their meaning.
    np.testing.assert_array_equal(hash_id.projections(1, dimension=4, seed=1), [[6653, -2506, -2163, -4395]])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"bits of whole numbers >= 1. Received: bits=0"):
        layers.HashID(0, seed=1)
    with pytest.raises(ValueError, match=r"a seed in 0..2\^32-1. Received: -1"):
        layers.HashID(4, seed=-1)
    with pytest.raises(ValueError, match="the center has 2 numbers, the vectors have 3"):
        layers.HashID(4, seed=1, center=(0.0, 0.0))(tf.zeros([1, 3]))
