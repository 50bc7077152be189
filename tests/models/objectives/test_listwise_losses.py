"""Listwise softmax, JRC, and the reweighted cross entropies: by hand, against loops, in their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from fullrank.models.objectives import (
    class_balanced_cross_entropy,
    focal_loss,
    joint_ranking_and_calibration,
    listwise_softmax_loss,
)
from fullrank.models.objectives.losses import binary_cross_entropy

Array = np.ndarray[Any, Any]
NAN = float("nan")


def batch() -> tuple[Array, Array, Array, Array]:
    generator = np.random.default_rng(0)
    labels = (generator.random(90) < 0.3).astype(np.float32)
    labels[::7] = NAN
    logits = generator.normal(size=(90, 2)).astype(np.float32)
    return labels, logits, generator.integers(1, 4, 90).astype(np.float32), generator.integers(0, 15, 90)


def copies(labels: Array, logits: Array, weights: Array, keys: Array) -> tuple[Array, Array, Array]:
    """The observed examples, each as often as its weight says."""
    rows = np.repeat(np.arange(len(labels)), weights.astype(int))
    rows = rows[~np.isnan(labels[rows])]
    return labels[rows], logits[rows], keys[rows]


def test_listwise_by_hand() -> None:
    # List (0, ln 3), positive first: -ln(1/4). List (ln 2, 0, 0), positive first: -ln(2/4). Mean: 3 ln 2 / 2.
    loss = listwise_softmax_loss(
        labels=tf.constant([1.0, 0.0, 1.0, 0.0, 0.0]),
        logits=tf.constant([0.0, np.log(3.0), np.log(2.0), 0.0, 0.0], tf.float32),
        keys=tf.constant(["a", "a", "b", "b", "b"]),
    )
    np.testing.assert_allclose(loss.numpy(), 1.5 * np.log(2), rtol=1e-6)


def test_listwise_equals_the_loop() -> None:
    labels, logits, weights, keys = batch()
    y, z, k = copies(labels, logits[:, 0], weights, keys)
    losses = [logsumexp(z[k == k[i]]) - z[i] for i in range(len(y)) if y[i] == 1 and (y[k == k[i]] == 0).any()]
    loss = listwise_softmax_loss(
        labels=tf.constant(labels),
        logits=tf.constant(logits[:, 0]),
        weights=tf.constant(weights),
        keys=tf.constant(keys),
    )
    np.testing.assert_allclose(loss.numpy(), np.mean(losses), rtol=1e-5)


def test_listwise_gradient_is_softmax_minus_one_hot() -> None:
    logits = tf.Variable([0.3, -1.0, 2.0, 1.0])
    with tf.GradientTape() as tape:
        loss = listwise_softmax_loss(labels=tf.constant([1.0, 0.0, 0.0, NAN]), logits=logits)
    gradient = tf.convert_to_tensor(tape.gradient(loss, logits)).numpy()
    softmax = np.exp(logits.numpy()[:3]) / np.exp(logits.numpy()[:3]).sum()
    np.testing.assert_allclose(gradient, [*(softmax - [1, 0, 0]), 0.0], rtol=1e-5)
    assert gradient[3] == 0.0


@pytest.mark.parametrize("labels", [[0.0] * 3, [1.0] * 3, [NAN] * 3, [1.0, 1.0, NAN]])
def test_listwise_without_both_classes_is_zero(labels: list[float]) -> None:
    logits = tf.Variable([1.0, -2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = listwise_softmax_loss(labels=tf.constant(labels), logits=logits)
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, logits)).numpy(), np.zeros(3))


def test_extreme_logits_stay_finite() -> None:
    labels, logits = tf.constant([1.0, 0.0]), tf.Variable([-1e4, 1e4])
    with tf.GradientTape() as tape:
        loss = listwise_softmax_loss(labels=labels, logits=logits)
    np.testing.assert_allclose(loss.numpy(), 2e4)
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(loss, logits)).numpy(), [-1.0, 1.0])


def test_jrc_by_hand() -> None:
    # One key, two examples: positive (f_0, f_1) = (0, ln 3), negative (0, 0). Calibration: -ln(3/4), -ln(1/2): their
    # sum is ln(8/3). Ranking: the positive has 3 of 3 + 1 in f_1: -ln(3/4); the negative 1 of 2 in f_0: ln 2. The same
    # sum, so that the mean is ln(8/3)/2 for any a.
    for share in (0.0, 0.4, 1.0):
        loss = joint_ranking_and_calibration(
            labels=tf.constant([1.0, 0.0]),
            logits=tf.constant([[0.0, np.log(3.0)], [0.0, 0.0]], tf.float32),
            calibration_weight=share,
        )
        np.testing.assert_allclose(loss.numpy(), np.log(8 / 3) / 2, rtol=1e-6)


def test_jrc_equals_the_loop() -> None:
    labels, logits, weights, keys = batch()
    y, z, k = copies(labels, logits, weights, keys)
    own = np.array([z[i, int(y[i])] for i in range(len(y))])
    calibration = np.mean([logsumexp(z[i]) - own[i] for i in range(len(y))])
    ranking = np.mean([logsumexp(z[k == k[i], int(y[i])]) - own[i] for i in range(len(y))])
    loss = joint_ranking_and_calibration(
        labels=tf.constant(labels),
        logits=tf.constant(logits),
        weights=tf.constant(weights),
        keys=tf.constant(keys),
        calibration_weight=0.3,
    )
    np.testing.assert_allclose(loss.numpy(), 0.3 * calibration + 0.7 * ranking, rtol=1e-5)


def test_jrc_with_calibration_alone_is_cross_entropy_of_the_difference() -> None:
    labels, logits, weights, _ = (tf.constant(value) for value in batch())
    joint = joint_ranking_and_calibration(labels=labels, logits=logits, weights=weights, calibration_weight=1.0)
    entropy = binary_cross_entropy(labels=labels, logits=logits[:, 1] - logits[:, 0], weights=weights)
    np.testing.assert_allclose(joint.numpy(), entropy.numpy(), rtol=1e-6)


@pytest.mark.parametrize("labels", [[NAN, NAN], [1.0, 1.0], [0.0, NAN]])
def test_jrc_is_safe_with_a_class_or_all_missing(labels: list[float]) -> None:
    missing = np.isnan(labels)
    logits = tf.Variable(np.where(missing[:, None], NAN, [[1.0, 2.0], [3.0, -1.0]]).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = joint_ranking_and_calibration(labels=tf.constant(labels), logits=logits, calibration_weight=0.5)
    gradient = tf.convert_to_tensor(tape.gradient(loss, logits)).numpy()
    assert np.isfinite(loss.numpy())
    np.testing.assert_array_equal(gradient[missing], 0.0)
    assert np.isfinite(gradient).all()
    assert not missing.all() or loss.numpy() == 0.0


def test_jrc_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"two logits per example, \[B, 2\]. Received: \(3,\)"):
        joint_ranking_and_calibration(labels=tf.zeros(3), logits=tf.zeros(3), calibration_weight=0.5)
    with pytest.raises(ValueError, match="calibration_weight"):
        joint_ranking_and_calibration(labels=tf.zeros(3), logits=tf.zeros([3, 2]), calibration_weight=-1.0)


def test_focal_by_hand_and_in_its_limit() -> None:
    # p = 3/4. Positive: (1/4)^2 ln(4/3). Negative: (3/4)^2 ln 4.
    labels, logits = tf.constant([1.0, 0.0]), tf.constant([np.log(3.0)] * 2, tf.float32)
    expected = (np.log(4 / 3) / 16, 9 * np.log(4) / 16)
    np.testing.assert_allclose(focal_loss(labels=labels, logits=logits).numpy(), np.mean(expected), rtol=1e-5)
    balanced = focal_loss(labels=labels, logits=logits, balance=0.25).numpy()
    np.testing.assert_allclose(balanced, (0.25 * expected[0] + 0.75 * expected[1]) / 2, rtol=1e-5)
    entropy = binary_cross_entropy(labels=labels, logits=logits)
    np.testing.assert_allclose(focal_loss(labels=labels, logits=logits, focus=0.0), entropy, rtol=1e-6)


def test_class_balanced_by_hand_and_in_its_limits() -> None:
    # beta = 1/2, n_1 = 1, n_0 = 2: weights 1/2 / (1/2) = 1 and 1/2 / (3/4) = 2/3, so 3 : 2. Losses ln 4/3 and ln 4.
    labels, logits = tf.constant([1.0, 0.0]), tf.constant([np.log(3.0)] * 2, tf.float32)
    inputs = {"labels": labels, "logits": logits, "positives": 1, "negatives": 2}
    expected = (3 * np.log(4 / 3) + 2 * np.log(4)) / 5
    np.testing.assert_allclose(class_balanced_cross_entropy(**inputs, beta=0.5).numpy(), expected, rtol=1e-6)
    plain = binary_cross_entropy(labels=labels, logits=logits)
    np.testing.assert_allclose(class_balanced_cross_entropy(**inputs, beta=0.0).numpy(), plain, rtol=1e-6)
    # beta -> 1: weights 1 and 1/2.
    nearly = class_balanced_cross_entropy(**inputs, beta=1 - 1e-9).numpy()
    np.testing.assert_allclose(nearly, (2 * np.log(4 / 3) + np.log(4)) / 3, rtol=1e-5)
    with pytest.raises(ValueError, match="negatives=0"):
        class_balanced_cross_entropy(labels=labels, logits=logits, positives=1, negatives=0)
