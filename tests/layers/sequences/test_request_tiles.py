"""Rows of requests in tiles of one size, and the interest of many users in many targets each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fullrank.layers import TemporalInterest
from fullrank.layers.sequences.request_tiles import request_tiles

SIZES = [3, 1, 6]
OWNER = np.repeat(np.arange(3), SIZES).astype(np.int32)


def test_the_tiles_of_three_requests() -> None:
    """Ten rows of three requests: P = min(6, ceil(20 / 3) = 7) = 6, so that each request is one tile."""
    tiles = request_tiles(tf.constant(OWNER))
    assert int(tiles.width) == 6
    assert tiles.request.numpy().tolist() == [0, 1, 2]
    assert tiles.places.numpy().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], *([2, place] for place in range(6))]
    # 13 rows of 4 requests, P = min(10, ceil(26 / 4) = 7) = 7: the large one has two tiles.
    tiles = request_tiles(tf.constant(np.repeat([0, 1, 2, 3], [1, 10, 1, 1]).astype(np.int32)))
    assert int(tiles.width) == 7
    assert tiles.request.numpy().tolist() == [0, 1, 1, 2, 3]
    assert tiles.places.numpy()[7:12].tolist() == [[1, 6], [2, 0], [2, 1], [2, 2], [3, 0]]


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_rows_come_back_from_tiles_that_are_not_many(sizes: list[int]) -> None:
    owner = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    rows = np.arange(2.0 * len(owner)).reshape(-1, 2)
    tiles = request_tiles(tf.constant(owner))
    np.testing.assert_array_equal(tiles.take(tiles.put(tf.constant(rows))), rows)
    np.testing.assert_array_equal(tf.gather(tiles.request, tiles.places[:, 0]), owner)
    places = int(tf.size(tiles.request)) * int(tiles.width)
    assert places <= 3 * len(owner) + 2 * len(sizes)


def inputs() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    mask = np.array([[True] * 4, [True, False, False, False], [False] * 4])
    behaviours = draw.normal(size=(3, 4, 5)).astype(np.float32)
    behaviours[1, 2] = np.nan
    return {
        "behaviours": tf.constant(behaviours),
        "target": tf.constant(draw.normal(size=(10, 5)).astype(np.float32)),
        "mask": tf.constant(mask),
        "intervals": tf.constant(draw.uniform(0, 1e6, (3, 4)).astype(np.float32)),
    }


@pytest.mark.parametrize(
    "without", [[], ["position"], ["interval"], ["attention"], ["representation"], ["position", "interval"]]
)
def test_interest_of_requests_is_that_of_repeated_behaviours(without: list[str]) -> None:
    """Values and all gradients, of users with four behaviours, one and none."""
    off: dict[str, Any] = dict.fromkeys(without, False)
    layer = TemporalInterest(4, **off, scale=0.7)
    given, owner = inputs(), tf.constant(OWNER)
    weights = tf.constant(np.random.default_rng(1).normal(size=(10, 5)).astype(np.float32))

    def repeated() -> tf.Tensor:
        rows = {name: value if name == "target" else tf.gather(value, owner) for name, value in given.items()}
        return layer(rows["behaviours"], rows["target"], rows["mask"], rows["intervals"])

    def at_once() -> tf.Tensor:
        return layer.of_requests(*(given[name] for name in ("behaviours", "target", "mask", "intervals")), owner=owner)

    repeated()
    found = []
    for function in (repeated, at_once):
        with tf.GradientTape() as tape:
            tape.watch([given["behaviours"], given["target"]])
            interest = function()
            total = tf.reduce_sum(interest * weights)
        watched = [given["behaviours"], given["target"], *layer.trainable_variables]
        gradients = tape.gradient(total, watched, unconnected_gradients="zero")
        assert not any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients[2:])
        found.append([interest, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)
    interest, of_behaviours = found[1][:2]
    # The third user has no behaviours, and nothing flows to a masked place.
    assert np.all(interest.numpy()[4:] == 0)
    assert np.all(of_behaviours.numpy()[~given["mask"].numpy()] == 0)


def test_no_rows_have_no_tiles() -> None:
    tiles = request_tiles(tf.zeros([0], tf.int32))
    assert tiles.request.shape == (0,)
    assert tiles.take(tiles.put(tf.zeros([0, 3]))).shape == (0, 3)
