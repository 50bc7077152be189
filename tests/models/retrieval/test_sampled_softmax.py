"""The sampled softmax: by hand, against numpy, and what it does to popular ads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models.retrieval.positives import PositiveCounts
from fullrank.models.retrieval.sampled_softmax import SampledSoftmax, negative_shares, other_positives


def test_a_number_by_hand() -> None:
    # Products at T = .5: 2, 0 and 0, 1. There is one negative each, so E = Q = .8, .2: exp(s) is e^2 and 1 / .2 in the
    # first row, 1 / .8 and e in the second.
    loss = SampledSoftmax(temperature=0.5)(
        tf.constant([[1.0, 0.0], [0.0, 0.5]]),
        tf.eye(2),
        weights=tf.constant([1.0, 3.0]),
        others=other_positives(None, tf.constant([7, 9]), queries=2),
        shares=tf.constant([0.8, 0.2]),
    )
    first = -math.log(math.e**2 / (math.e**2 + 5))
    second = -math.log(math.e / (1.25 + math.e))
    assert float(loss) == pytest.approx((first + 3 * second) / 4, rel=1e-6)


def numpy_loss(
    queries: Any, ads: Any, ids: Any, weights: Any, q: Any, users: Any, temperature: float, hard: int | None
) -> float:
    """Row by row, with what no query may be told from left out."""
    total = 0.0
    for i, query in enumerate(queries):
        positives = {ids[r] for r in range(len(users)) if users[r] == users[i]}
        scores = [
            (query @ ads[j]) / temperature - math.log((len(ads) - 1) * q[j])
            for j in range(len(ads))
            if j != i and ids[j] not in positives
        ]
        scores = sorted(scores, reverse=True)[: len(scores) if hard is None else hard]
        own = (query @ ads[i]) / temperature
        total += weights[i] * (math.log(sum(math.exp(s) for s in [own, *scores])) - own)
    return float(total / sum(weights))


@pytest.mark.parametrize("hard", [None, 3])
def test_it_is_what_numpy_says(hard: int | None) -> None:
    draw = np.random.default_rng(0)
    number, more, width = 12, 6, 4
    queries, ads = draw.normal(size=(number, width)), draw.normal(size=(number + more, width))
    ids, users = draw.integers(0, 6, number + more), draw.integers(0, 5, number)
    weights, q = draw.random(number) + 0.1, draw.random(number + more) * 0.5 + 0.01
    loss = SampledSoftmax(temperature=0.7, hard_negatives=hard)(
        tf.constant(queries, tf.float32),
        tf.constant(ads, tf.float32),
        weights=tf.constant(weights, tf.float32),
        shares=tf.constant(q, tf.float32),
        others=other_positives(tf.constant(users), tf.constant(ids)),
    )
    assert float(loss) == pytest.approx(numpy_loss(queries, ads, ids, weights, q, users, 0.7, hard), rel=1e-5)


def test_no_positive_of_a_query_is_its_negative() -> None:
    """Users a, a, b clicked ads 1, 2, 1; ad 2 is drawn once more, and ad 3."""
    users, ids = tf.constant(["a", "a", "b"]), tf.constant([1, 2, 1, 2, 3])
    found = other_positives(users, ids).numpy()
    np.testing.assert_array_equal(found, [[0, 1, 1, 1, 0], [1, 0, 1, 1, 0], [1, 0, 0, 0, 0]])
    ads = tf.Variable(tf.random.stateless_normal([5, 4], seed=[1, 2]))
    queries = tf.random.stateless_normal([3, 4], seed=[3, 4])
    with tf.GradientTape() as tape:
        loss = SampledSoftmax(temperature=1.0)(
            queries, ads, weights=tf.constant([1.0, 0.0, 0.0]), others=other_positives(users, ids)
        )
    gradient = tape.gradient(loss, ads).numpy()
    # Of the first query alone: its own ad and ad 3 move, the others do not at all.
    assert (gradient[[1, 2, 3]] == 0.0).all()
    assert (gradient[[0, 4]] != 0.0).all()


def test_without_users_only_the_own_ad_is_known() -> None:
    found = other_positives(None, tf.constant([1, 2, 1, 2]), queries=tf.constant(3))
    np.testing.assert_array_equal(found, [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])


@pytest.mark.parametrize("missing", [-1, ""])
def test_queries_without_a_user_are_not_of_one_user(missing: Any) -> None:
    users = tf.constant([missing, missing, "7" if missing == "" else 7])
    found = other_positives(users, tf.constant([1, 2, 3])).numpy()
    assert not found.any()
    np.testing.assert_array_equal(other_positives(users, tf.constant([1, 1, 3])).numpy()[:2, :2], [[0, 1], [1, 0]])


def test_without_weight_there_is_no_loss() -> None:
    loss = SampledSoftmax(temperature=1.0)(
        tf.ones([1, 4]), tf.ones([2, 4]), weights=tf.zeros([1]), others=tf.zeros([1, 2], tf.bool)
    )
    assert float(loss) == 0.0


def test_shares_of_a_mixed_batch() -> None:
    # Beside the own ad those of three positives, and one of 10 drawn: (3 * .5 + .1) / 4 = .4; (3 * .1 + .1) / 4 = .1.
    found = negative_shares(tf.constant([0.5, 0.1]), positives=tf.constant(4), drawn=1, catalogue=10)
    np.testing.assert_allclose(found, [0.4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(
        negative_shares(tf.constant([0.5, 0.1]), positives=tf.constant(3), drawn=0, catalogue=10), [0.5, 0.1]
    )
    # A single positive has no negative.
    np.testing.assert_allclose(negative_shares(tf.constant([0.5]), positives=1, drawn=0, catalogue=10), [0.5])


def test_counts() -> None:
    counts = PositiveCounts(3)
    # Four places, one of them for ads that are not in the catalogue, begin with one each.
    np.testing.assert_allclose(counts(tf.constant([0, 2, 3])), [0.25, 0.25, 0.25])
    counts.observe(tf.constant([0, 0, 2, 0], tf.int64))
    np.testing.assert_allclose(counts(tf.constant([0, 1, 2, 3])), [0.5, 0.125, 0.25, 0.125])
    np.testing.assert_allclose(counts.popularity, [3.0, 0.0, 1.0])


@pytest.mark.parametrize("corrected", [True, False])
def test_planted_popularity(corrected: bool) -> None:
    """Thirty ads are clicked in proportion to known shares, whoever asks.

    A softmax over the catalogue learns scores log p(j) up to a constant, and so does the corrected loss. Without the
    correction a popular ad is as often a negative as it is a positive, and hardly gains by its popularity.
    """
    shares = 1.0 / np.arange(1, 31) ** 0.8
    shares /= shares.sum()
    draw = np.random.default_rng(0)
    scores, counts = tf.Variable(tf.zeros([30, 1])), PositiveCounts(30)
    softmax = SampledSoftmax(temperature=1.0)

    @tf.function
    def step(ads: tf.Tensor, rate: tf.Tensor) -> None:
        counts.observe(ads)
        with tf.GradientTape() as tape:
            loss = softmax(
                tf.ones([8, 1]),
                tf.gather(scores, ads),
                weights=tf.ones([8]),
                others=other_positives(None, ads, queries=8),
                shares=counts(ads) if corrected else None,
            )
        scores.assign_sub(rate * tf.convert_to_tensor(tape.gradient(loss, scores)))

    for number in range(3000):
        step(tf.constant(draw.choice(30, 8, p=shares)), tf.constant(2.0 if number < 1500 else 0.2))
    slope = np.polyfit(np.log(shares), scores.numpy()[:, 0], 1)[0]
    if corrected:
        assert slope == pytest.approx(1.0, abs=0.15)
    else:
        assert abs(slope) < 0.2
