"""The pairwise loss by hand, against a double loop, and what must not contribute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models.objectives import (
    classification_and_ranking,
    logit_gradients,
    pairwise_loss,
    value_pairwise_loss,
)
from fullrank.models.objectives.losses import binary_cross_entropy

Array = np.ndarray[Any, Any]
NAN = float("nan")


def slow(labels: Array, logits: Array, weights: Array | None = None, keys: Array | None = None) -> float:
    weights = np.ones(len(labels)) if weights is None else weights
    total = weight = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            if keys is None or keys[i] == keys[j]:
                total += weights[i] * weights[j] * np.log1p(np.exp(float(logits[j]) - float(logits[i])))
                weight += weights[i] * weights[j]
    return total / weight if weight else 0.0


def batch(size: int, rate: float, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(size) < rate).astype(np.float32)
    labels[generator.random(size) < 0.1] = NAN
    logits = generator.normal(size=size).astype(np.float32)
    return labels, logits, generator.random(size).astype(np.float32), generator.integers(0, size // 6, size)


def test_by_hand() -> None:
    # Positives 0 and ln 2, a negative at ln 3: softplus(ln 3) = ln 4 and softplus(ln 3/2) = ln 5/2; their mean is
    # ln(10)/2.
    logits = tf.constant([0.0, np.log(2.0), np.log(3.0)], tf.float32)
    loss = pairwise_loss(labels=tf.constant([1.0, 1.0, 0.0]), logits=logits)
    np.testing.assert_allclose(loss.numpy(), np.log(10) / 2, rtol=1e-6)


def test_within_keys_by_hand() -> None:
    # Key a: positive 0 against ln 3, ln 4. Key b: positive ln 3 against 0, ln(4/3). Key c has no positive.
    labels = tf.constant([1.0, 0.0, 1.0, 0.0, 0.0])
    logits = tf.constant([0.0, np.log(3.0), np.log(3.0), 0.0, 9.0], tf.float32)
    expected = (np.log(4) + np.log(4 / 3)) / 2
    for keys in (tf.constant([7, 7, -3, -3, 2], tf.int64), tf.constant(["a", "a", "b", "b", "c"])):
        np.testing.assert_allclose(pairwise_loss(labels=labels, logits=logits, keys=keys).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("keys", [[7, 7, -1, -1, -1], ["a", "a", "", "", ""]])
def test_rows_without_a_key_form_no_pairs(keys: list[Any]) -> None:
    # The pair of key 7 alone: ln 4. Without a key there is no pair, and no gradient.
    labels = tf.constant([1.0, 0.0, 1.0, 0.0, 0.0])
    logits = tf.constant([0.0, np.log(3.0), np.log(3.0), 0.0, 9.0], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = pairwise_loss(labels=labels, logits=logits, keys=tf.constant(keys))
    np.testing.assert_allclose(loss.numpy(), np.log(4), rtol=1e-6)
    assert tape.gradient(loss, logits).numpy()[2:].tolist() == [0.0, 0.0, 0.0]


def test_pair_weighs_the_product_by_hand() -> None:
    # Pairs (0, ln 3) of weight 2 * 1 and (0, 0) of weight 2 * 3: (2 ln 4 + 6 ln 2) / 8 = 10 ln 2 / 8.
    loss = pairwise_loss(
        labels=tf.constant([1.0, 0.0, 0.0]),
        logits=tf.constant([0.0, np.log(3.0), 0.0], tf.float32),
        weights=tf.constant([2.0, 1.0, 3.0]),
    )
    np.testing.assert_allclose(loss.numpy(), 10 * np.log(2) / 8, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9])
def test_equals_the_double_loop(rate: float) -> None:
    labels, logits, weights, keys = batch(150, rate)
    inputs = {"labels": tf.constant(labels), "logits": tf.constant(logits)}
    np.testing.assert_allclose(pairwise_loss(**inputs).numpy(), slow(labels, logits), rtol=1e-5)
    np.testing.assert_allclose(
        pairwise_loss(**inputs, weights=tf.constant(weights)).numpy(), slow(labels, logits, weights), rtol=1e-5
    )
    np.testing.assert_allclose(
        pairwise_loss(**inputs, weights=tf.constant(weights), keys=tf.constant(keys)).numpy(),
        slow(labels, logits, weights, keys),
        rtol=1e-5,
    )


@pytest.mark.parametrize("keyed", [False, True])
def test_gradient_is_the_closed_form(keyed: bool) -> None:
    labels, logits, _, _ = batch(120, 0.3)
    keys = tf.zeros(120, tf.int64) if keyed else None
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = pairwise_loss(labels=tf.constant(labels), logits=variable, keys=keys)
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    wrong = 1 / (1 + np.exp(logits[positive][:, None] - logits[negative][None, :]))
    np.testing.assert_allclose(gradient[negative], wrong.mean(0) / len(negative), rtol=1e-4)
    np.testing.assert_allclose(gradient[positive], -wrong.mean(1) / len(positive), rtol=1e-4)
    np.testing.assert_array_equal(gradient[np.isnan(labels)], 0.0)


@pytest.mark.parametrize("keys", [None, [1, 1, 1, 1]])
@pytest.mark.parametrize("labels", [[0.0] * 4, [1.0] * 4, [NAN] * 4, [1.0, NAN, NAN, NAN]])
def test_without_a_pair_all_is_zero(labels: list[float], keys: list[int] | None) -> None:
    logits = tf.Variable([1.0, 2.0, NAN if np.isnan(labels[2]) else 3.0, 4.0])
    with tf.GradientTape() as tape:
        loss = pairwise_loss(
            labels=tf.constant(labels), logits=logits, keys=None if keys is None else tf.constant(keys, tf.int64)
        )
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, logits)).numpy(), np.zeros(4))


def test_keys_without_a_common_pair_and_empty_batches_are_zero() -> None:
    keys = tf.constant([1, 2], tf.int64)
    assert pairwise_loss(labels=tf.constant([1.0, 0.0]), logits=tf.constant([0.0, 5.0]), keys=keys).numpy() == 0.0
    nothing = tf.zeros([0])
    for no_keys in (None, tf.zeros([0], tf.int64)):
        assert pairwise_loss(labels=nothing, logits=nothing, keys=no_keys).numpy() == 0.0


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("rate", [0.03, 0.5])
def test_capped_pairs_are_seeded_and_unbiased(rate: float, keyed: bool) -> None:
    labels, logits, weights, keys = batch(300, rate, seed=1)
    cap = 60

    @tf.function
    def capped(seed: tf.Tensor) -> tf.Tensor:
        return pairwise_loss(
            labels=tf.constant(labels),
            logits=tf.constant(logits),
            weights=tf.constant(weights) if keyed else None,
            keys=tf.constant(keys // 10) if keyed else None,
            max_pairs=cap,
            seed=seed,
        )

    draws = np.array([capped(tf.constant([3, step])).numpy() for step in range(400)])
    assert capped(tf.constant([3, 5])).numpy() == draws[5]
    expected = slow(labels, logits, weights if keyed else None, keys // 10 if keyed else None)
    assert draws.std() > 0.005
    assert abs(draws.mean() - expected) < 5 * draws.std() / 20


def test_cap_keeps_the_smaller_class_whole() -> None:
    # 3 positives, 100 negatives, at most 60 pairs: 3 x 20. Only the kept ones have a gradient.
    labels = tf.constant([1.0] * 3 + [0.0] * 100)
    logits = tf.Variable(tf.random.stateless_normal([103], seed=(1, 2)))
    with tf.GradientTape() as tape:
        loss = pairwise_loss(labels=labels, logits=logits, max_pairs=60)
    gradient = tape.gradient(loss, logits).numpy()
    assert np.count_nonzero(gradient[:3]) == 3
    assert np.count_nonzero(gradient[3:]) == 20
    assert pairwise_loss(labels=labels, logits=logits, max_pairs=300).numpy() == pairwise_loss(
        labels=labels, logits=logits
    )


def test_combination_is_the_weighted_sum() -> None:
    labels, logits, weights, _ = (tf.constant(value) for value in batch(80, 0.3))
    entropy = binary_cross_entropy(labels=labels, logits=logits, weights=weights)
    ranking = pairwise_loss(labels=labels, logits=logits, weights=weights)
    for share in (0.0, 0.3, 1.0):
        both = classification_and_ranking(labels=labels, logits=logits, weights=weights, ranking_weight=share)
        np.testing.assert_allclose(both.numpy(), (1 - share) * entropy + share * ranking, rtol=1e-6)


def test_low_precision_logits_are_ranked_in_float32() -> None:
    labels = tf.constant([1.0, *[0.0] * 1000])
    logits = tf.cast(tf.fill([1001], 3.0), tf.bfloat16)
    loss = pairwise_loss(labels=labels, logits=logits)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss.numpy(), np.log(2), rtol=1e-6)


def test_extreme_logits_stay_finite() -> None:
    # One pair, 2e4 in the wrong order: the loss is the distance.
    loss = pairwise_loss(labels=tf.constant([1.0, 0.0]), logits=tf.constant([-1e4, 1e4]))
    np.testing.assert_allclose(loss.numpy(), 2e4)


def test_unknown_batch_size_equals_eager() -> None:
    labels, logits, _, keys = batch(60, 0.3)
    vector = tf.TensorSpec([None], tf.float32)

    @tf.function(input_signature=[vector, vector, tf.TensorSpec([None], tf.int64)])
    def graph(y: tf.Tensor, z: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
        return pairwise_loss(labels=y, logits=z) + pairwise_loss(labels=y, logits=z, keys=k)

    expected = slow(labels, logits) + slow(labels, logits, keys=keys)
    np.testing.assert_allclose(graph(labels, logits, keys.astype(np.int64)).numpy(), expected, rtol=1e-5)


def test_wrong_arguments_are_named() -> None:
    inputs = {"labels": tf.constant([1.0]), "logits": tf.constant([1.0])}
    with pytest.raises(ValueError, match=r"max_pairs >= 1. Received: 0"):
        pairwise_loss(**inputs, max_pairs=0)
    with pytest.raises(ValueError, match=r"ranking_weight must be in \[0, 1\]. Received: 1.5"):
        classification_and_ranking(**inputs, ranking_weight=1.5)


def test_negatives_keep_their_gradient_at_a_low_base_rate() -> None:
    # 20 of 4,000 are positive and every logit is logit(0.005), where cross entropy has learned the base rate and no
    # more. It gives each negative the gradient 0.005; the ranking loss 1/2 * 4,000 / 3,980. With w = 0.1:
    # (0.9 * 0.005 + 0.1 * 0.50251) / 0.005 = 10.95.
    labels = tf.cast(tf.range(4000) < 20, tf.float32)
    logits = tf.fill([4000], np.float32(np.log(0.005 / 0.995)))
    alone = logit_gradients(labels=labels, logits=logits, loss=lambda z: binary_cross_entropy(labels=labels, logits=z))
    both = logit_gradients(
        labels=labels,
        logits=logits,
        loss=lambda z: classification_and_ranking(labels=labels, logits=z, ranking_weight=0.1),
    )
    np.testing.assert_allclose(alone.negative.numpy(), 0.005, rtol=1e-4)
    np.testing.assert_allclose(alone.positive.numpy(), 0.995, rtol=1e-4)
    np.testing.assert_allclose((both.negative / alone.negative).numpy(), 10.95, rtol=1e-3)
    assert (both.negative / alone.negative).numpy() >= 5


def test_unobserved_examples_have_no_part_in_the_mean_gradient() -> None:
    labels = tf.constant([0.0, NAN, 1.0])
    found = logit_gradients(labels=labels, logits=tf.constant([0.0, 9.0, 0.0]), loss=lambda z: tf.reduce_sum(z) / 2)
    assert [value.numpy() for value in found] == [1.0, 1.0]
    none = logit_gradients(labels=tf.constant([NAN]), logits=tf.constant([0.0]), loss=lambda z: tf.constant(1.0))
    assert [value.numpy() for value in none] == [0.0, 0.0]


def slow_values(labels: Array, scores: Array, weights: Array, keys: Array | None = None) -> float:
    total = weight = 0.0
    for i in range(len(labels)):
        for j in range(len(labels)):
            if labels[i] > labels[j] and (keys is None or (keys[i] == keys[j] and keys[i] != -1)):
                total += weights[i] * weights[j] * np.log1p(np.exp(float(scores[j]) - float(scores[i])))
                weight += weights[i] * weights[j]
    return total / weight if weight else 0.0


def test_pairs_of_values_by_hand() -> None:
    # Values 9, 2, 2 and 0 with predicted means 1, 3, 1 and 2, whose logarithms are the scores: five pairs, of which
    # each has -log(m_i / (m_i + m_j)). 9 over 2, 2, 0: ln 4, ln 2, ln 3. The 2 of mean 3 over 0: ln(5/3); that of mean
    # 1: ln 3. Their sum is ln(4 x 2 x 3 x 5/3 x 3) = ln 120.
    labels, means = tf.constant([9.0, 2.0, 2.0, 0.0]), tf.constant([1.0, 3.0, 1.0, 2.0])
    for scale in (1.0, 1e6):  # another currency
        loss = value_pairwise_loss(labels=labels * scale, scores=tf.math.log(means * scale))
        np.testing.assert_allclose(loss.numpy(), np.log(120) / 5, rtol=1e-5)


@pytest.mark.parametrize("keyed", [False, True])
def test_pairs_of_values_equal_the_double_loop(keyed: bool) -> None:
    draw = np.random.default_rng(2)
    labels = np.where(draw.random(80) < 0.4, 0.0, np.round(draw.lognormal(0, 1, 80), 1)).astype(np.float32)
    labels[::7] = NAN
    scores, weights = draw.normal(size=80).astype(np.float32), draw.random(80).astype(np.float32)
    weights[::9] = 0.0
    keys = draw.integers(-1, 9, 80) if keyed else None
    variable = tf.Variable(np.where(np.isnan(labels), NAN, scores).astype(np.float32))
    given = {"labels": tf.constant(labels), "keys": None if keys is None else tf.constant(keys)}
    with tf.GradientTape() as tape:
        loss = value_pairwise_loss(scores=variable, weights=tf.constant(weights), **given)
    np.testing.assert_allclose(loss.numpy(), slow_values(labels, scores, weights, keys), rtol=1e-5)
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()
    np.testing.assert_array_equal(gradient[np.isnan(labels) | (weights == 0.0)], 0.0)
    assert gradient.sum() == pytest.approx(0.0, abs=1e-6)  # what one example gains another loses
    binary = tf.constant(np.where(np.isnan(labels), NAN, labels > 1).astype(np.float32))
    for each in (None, given["keys"]):
        np.testing.assert_allclose(
            value_pairwise_loss(labels=binary, scores=tf.constant(scores), keys=each).numpy(),
            pairwise_loss(labels=binary, logits=tf.constant(scores), keys=each).numpy(),
            rtol=1e-5,
        )


@pytest.mark.parametrize("labels", [[], [3.0], [3.0, 3.0], [NAN, 3.0], [NAN, NAN]])
def test_values_without_a_pair_are_zero(labels: list[float]) -> None:
    scores = tf.Variable(tf.ones([len(labels)]))
    with tf.GradientTape() as tape:
        loss = value_pairwise_loss(labels=tf.constant(labels, tf.float32), scores=scores)
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, scores)).numpy(), np.zeros(len(labels)))


def test_capped_pairs_of_values_are_seeded_and_unbiased() -> None:
    draw = np.random.default_rng(3)
    labels, scores = draw.lognormal(0, 1, 60).astype(np.float32), draw.normal(size=60).astype(np.float32)

    @tf.function
    def capped(seed: tf.Tensor) -> tf.Tensor:
        return value_pairwise_loss(labels=tf.constant(labels), scores=tf.constant(scores), max_pairs=100, seed=seed)

    found = np.array([capped(tf.constant([5, step])).numpy() for step in range(200)])
    assert capped(tf.constant([5, 0])).numpy() == found[0] != found[1]
    expected = slow_values(labels, scores, np.ones(60))
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(200)
    with pytest.raises(ValueError, match=r"max_pairs >= 1\. Received: 0"):
        value_pairwise_loss(labels=tf.constant(labels), scores=tf.constant(scores), max_pairs=0)
