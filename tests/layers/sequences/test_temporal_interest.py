"""The Temporal Interest Module against a slow loop of its equation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import layers

Array = np.ndarray[Any, Any]


def slow(layer: layers.TemporalInterest, behaviours: Array, target: Array, mask: Array, intervals: Array) -> Array:
    """The equation, one behaviour at a time, in float64."""
    named = {weight.name.split("/")[-1].split(":")[0]: weight.numpy().astype(np.float64) for weight in layer.weights}
    width = target.shape[1]
    result = np.zeros((len(target), width))
    for b in range(len(target)):
        valid = [i for i in range(mask.shape[1]) if mask[b, i]]
        if not valid:
            continue
        v = target[b].astype(np.float64)
        if layer.position:
            v = v + named["positions"][0]
        if layer.interval:
            v = v + named["intervals"][0]
        encoded, scores = [], []
        for i in valid:
            e = behaviours[b, i].astype(np.float64)
            if layer.position:
                e = e + named["positions"][len(valid) - valid.index(i)]
            if layer.interval:
                e = e + named["intervals"][math.floor(math.log2(1 + max(float(intervals[b, i]), 0.0)))]
            encoded.append(e)
            scores.append(float(e @ v) / math.sqrt(width) if layer.attention else 0.0)
        alpha = np.exp(np.array(scores) - max(scores))
        alpha /= alpha.sum()
        for a, e in zip(alpha, encoded, strict=True):
            result[b] += a * (e * v if layer.representation else e)
    return result


def drawn(batch: int = 6, length: int = 5, width: int = 4) -> tuple[Array, Array, Array, Array]:
    draw = np.random.default_rng(3)
    lengths = np.arange(batch) % (length + 1)
    mask = np.arange(length) < lengths[:, None]
    behaviours = draw.normal(size=(batch, length, width)).astype(np.float32)
    # Between two powers of two, so that float32 and float64 agree on the bucket.
    intervals = (1.5 * 2.0 ** draw.integers(0, 28, (batch, length)) - 1).astype(np.float32)
    return behaviours, draw.normal(size=(batch, width)).astype(np.float32), mask, intervals


@pytest.mark.parametrize("position", [True, False])
@pytest.mark.parametrize("interval", [True, False])
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("representation", [True, False])
def test_equals_the_slow_loop(position: bool, interval: bool, attention: bool, representation: bool) -> None:
    layer = layers.TemporalInterest(
        5, position=position, interval=interval, attention=attention, representation=representation
    )
    inputs = drawn()
    layer(*inputs)
    layer.set_weights([20.0 * weight for weight in layer.get_weights()])
    output = layer(*inputs).numpy()
    np.testing.assert_allclose(output, slow(layer, *inputs), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(output[0], 0.0)  # no behaviour


def test_by_hand() -> None:
    # d = 1, e = (1, 2), v = 3, no temporal encoding: scores 3 and 6, alpha = (1, e^3) / (1 + e^3),
    # u = v * (alpha_1 + 2 alpha_2) = 3 (1 + 2 e^3) / (1 + e^3) = 3 * 41.17107 / 21.08554 = 5.857722
    layer = layers.TemporalInterest(2, position=False, interval=False)
    behaviours, target = tf.constant([[[1.0], [2.0]]]), tf.constant([[3.0]])
    output = layer(behaviours, target, tf.constant([[True, True]]))
    np.testing.assert_allclose(output.numpy(), [[5.857722]], rtol=1e-5)


def test_scale_by_hand() -> None:
    # As above with e = (.1, .2), v = .3 and s = .1, so that e / s, v / s are those: the same alpha, and s times u.
    layer = layers.TemporalInterest(2, position=False, interval=False, scale=0.1)
    behaviours, target, mask = tf.constant([[[0.1], [0.2]]]), tf.constant([[0.3]]), tf.constant([[True, True]])
    np.testing.assert_allclose(layer(behaviours, target, mask).numpy(), [[0.5857722]], rtol=1e-5)
    last = math.exp(3) / (1 + math.exp(3))
    np.testing.assert_allclose(layer.attention_of(behaviours, target, mask).numpy(), [[1 - last, last]], rtol=1e-5)


def test_scale_is_that_of_everything() -> None:
    plain, scaled = layers.TemporalInterest(5), layers.TemporalInterest(5, scale=0.25)
    behaviours, target, mask, intervals = drawn()
    plain(behaviours, target, mask, intervals)
    scaled(behaviours, target, mask, intervals)
    scaled.set_weights([0.25 * weight for weight in plain.get_weights()])
    np.testing.assert_allclose(
        scaled(0.25 * behaviours, 0.25 * target, mask, intervals).numpy(),
        0.25 * plain(behaviours, target, mask, intervals).numpy(),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_has_to_be_a_size(scale: float) -> None:
    with pytest.raises(ValueError, match="scale above 0"):
        layers.TemporalInterest(5, scale=scale)


def test_interval_buckets_are_octaves() -> None:
    layer = layers.TemporalInterest(4)
    layer(tf.zeros([1, 4, 2]), tf.zeros([1, 2]), tf.ones([1, 4], tf.bool), tf.zeros([1, 4]))
    # log2(1 + s): 0 -> 0, 1 -> 1, 2 -> 1.58, 3 -> 2, one day 86,400 s -> 16.4, 100 years are cut at 2^31 s -> 31
    seconds = tf.constant([0.0, 1.0, 2.0, 3.0, 86_400.0, 3.2e9, -5.0])
    np.testing.assert_array_equal(layer.interval_bucket(seconds).numpy(), [0, 1, 1, 2, 16, 31, 0])


def test_most_recent_behaviour_has_position_one() -> None:
    layer = layers.TemporalInterest(3, interval=False, attention=False, representation=False)
    mask = tf.constant([[True, True, False]])
    layer(tf.zeros([1, 3, 1]), tf.zeros([1, 1]), mask)
    layer.set_weights([np.array([[0.0], [10.0], [20.0], [30.0]])])
    # Two behaviours: the older has position 2, the newer 1; their mean is 15 whatever the padding holds.
    np.testing.assert_allclose(layer(tf.zeros([1, 3, 1]), tf.zeros([1, 1]), mask).numpy(), [[15.0]])


def test_behaviours_beyond_the_maximum_share_its_position() -> None:
    layer = layers.TemporalInterest(2, interval=False, attention=False, representation=False)
    behaviours, target, mask = tf.zeros([1, 4, 1]), tf.zeros([1, 1]), tf.ones([1, 4], tf.bool)
    layer(behaviours, target, mask)
    layer.set_weights([np.array([[0.0], [10.0], [20.0]])])
    # Positions 4, 3, 2, 1 of four behaviours count as 2, 2, 2, 1: (3 * 20 + 10) / 4 = 17.5
    np.testing.assert_allclose(layer(behaviours, target, mask).numpy(), [[17.5]])


def test_intervals_are_asked_for() -> None:
    layer = layers.TemporalInterest(2)
    with pytest.raises(ValueError, match="needs intervals"):
        layer(tf.zeros([1, 2, 3]), tf.zeros([1, 3]), tf.ones([1, 2], tf.bool))


def test_sequence_mean_by_hand() -> None:
    behaviours = tf.constant([[[1.0], [2.0], [9.0]], [[5.0], [5.0], [5.0]]])
    mask = tf.constant([[True, True, False], [False, False, False]])
    np.testing.assert_allclose(layers.SequenceMean()(behaviours, mask).numpy(), [[1.5], [0.0]])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.int64])
@pytest.mark.parametrize("per_octave", [1, 3])
def test_interval_buckets_are_the_same_under_xla(dtype: tf.DType, per_octave: int) -> None:
    """On both sides of every power of two, where a logarithm that is rounded otherwise falls to the other side."""
    powers = [2**k + more for k in range(40) for more in (-2, -1, 0)]
    seconds = tf.constant([[0, -1, -(2**40), *powers]], dtype)
    layer = layers.TemporalInterest(4, buckets_per_octave=per_octave)
    layer(tf.zeros([1, 4, 2]), tf.zeros([1, 2]), tf.ones([1, 4], tf.bool), tf.zeros([1, 4]))
    eager = layer.interval_bucket(seconds).numpy()
    compiled = tf.function(layer.interval_bucket, jit_compile=True)(seconds).numpy()
    np.testing.assert_array_equal(compiled, eager)
    if per_octave == 1:
        # floor(log2(1 + s)) is the number of binary digits of 1 + s, less 1; float32 holds whole numbers of 24 digits.
        expected = [min((1 + max(int(s), 0)).bit_length() - 1, 31) for s in seconds.numpy()[0]]
        exact = [abs(int(s)) < 2**24 or int(s) >= 2**31 for s in seconds.numpy()[0]]
        np.testing.assert_array_equal(eager[0][exact], np.array(expected)[exact])
    assert eager.max() == 31 * per_octave
    assert eager.min() == 0


def test_an_interval_of_nan_counts_as_none() -> None:
    layer = layers.TemporalInterest(3)
    behaviours, target = tf.ones([1, 3, 2]), tf.ones([1, 2])
    mask = tf.constant([[True, True, False]])
    unknown = layer(behaviours, target, mask, tf.constant([[float("nan"), 5.0, float("nan")]]))
    np.testing.assert_array_equal(unknown, layer(behaviours, target, mask, tf.constant([[0.0, 5.0, 7.0]])))
