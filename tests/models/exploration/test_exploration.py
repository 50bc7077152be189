"""Policies: seeds, moments by Monte Carlo, and slates drawn jointly."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers import GaussianPosterior, GaussianProcessHead
from fullrank.models.exploration import POLICIES, Policy, ensemble_logits, epsilon_greedy, greedy, joint_thompson, ucb
from fullrank.models.exploration.policies import thompson

DRAWS = 20_000
MEAN = tf.constant([[-3.0, -1.0, 0.5], [2.0, 2.0, 2.0]])
VARIANCE = tf.constant([[0.5, 2.0, 0.01], [1.0, 4.0, 0.0]])


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_all_have_one_signature_and_repeat_by_seed(policy: Policy) -> None:
    first = policy(mean=MEAN, variance=VARIANCE, seed=tf.constant([1, 2]))
    assert first.shape == MEAN.shape
    assert first.dtype == tf.float32
    compiled = tf.function(functools.partial(policy, mean=MEAN, variance=VARIANCE))
    np.testing.assert_array_equal(compiled(seed=tf.constant([1, 2])), first)


def test_greedy_and_ucb_by_hand() -> None:
    seed = tf.constant([0, 0])
    np.testing.assert_array_equal(greedy(mean=MEAN, variance=VARIANCE, seed=seed), MEAN)
    bound = ucb(mean=MEAN, variance=VARIANCE, seed=seed, width=2.0).numpy()
    np.testing.assert_allclose(bound[1], [4.0, 6.0, 2.0])  # 2 + 2 sqrt(1), 2 + 2 sqrt(4), 2


def test_thompson_has_the_moments_and_candidates_are_independent() -> None:
    # Of n draws: the mean is off by sigma / sqrt(n), the variance by sigma^2 sqrt(2 / n), a correlation by 1 / sqrt(n).
    mean, variance = tf.tile(MEAN[:1], [DRAWS, 1]), tf.tile(VARIANCE[:1], [DRAWS, 1])
    drawn = thompson(mean=mean, variance=variance, seed=tf.constant([3, 4])).numpy()
    spread = np.sqrt(VARIANCE[0].numpy())
    assert (np.abs(drawn.mean(axis=0) - MEAN[0]) < 5 * spread / np.sqrt(DRAWS)).all()
    assert (np.abs(drawn.var(axis=0) - spread**2) < 5 * spread**2 * np.sqrt(2 / DRAWS)).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 5 / np.sqrt(DRAWS)
    other = thompson(mean=mean, variance=variance, seed=tf.constant([3, 5]))
    assert np.abs(drawn - other.numpy()).max() > 0.1


def test_epsilon_greedy_explores_that_share_of_slates_with_any_first() -> None:
    slates = 20_000
    mean = tf.tile(tf.range(4.0)[tf.newaxis], [slates, 1])
    scores = epsilon_greedy(mean=mean, variance=tf.ones_like(mean), seed=tf.constant([5, 6]), epsilon=0.4).numpy()
    np.testing.assert_array_equal(np.sort(scores, axis=1), mean)  # the same scores in another order
    first = np.bincount(scores.argmax(axis=1), minlength=4) / slates
    # A slate explores with 0.4, and then each candidate is first with 1/4.
    expected = np.array([0.1, 0.1, 0.1, 0.7])
    assert (np.abs(first - expected) < 5 * np.sqrt(expected * (1 - expected) / slates)).all()
    plain = epsilon_greedy(mean=mean, variance=mean, seed=tf.constant([5, 6]), epsilon=0.0)
    np.testing.assert_array_equal(plain, mean)


def test_joint_draws_have_the_covariance_and_identical_candidates_agree() -> None:
    # Candidates 0 and 1 are the same; 2 correlates with them by 0.6 / sqrt(2 * 0.5) = 0.6.
    covariance = tf.constant([[2.0, 2.0, 0.6], [2.0, 2.0, 0.6], [0.6, 0.6, 0.5]], tf.float64)
    mean = tf.constant([1.0, 1.0, -1.0])
    drawn = joint_thompson(
        mean=tf.tile(mean[tf.newaxis], [DRAWS, 1]),
        covariance=tf.tile(covariance[tf.newaxis], [DRAWS, 1, 1]),
        seed=tf.constant([7, 8]),
    ).numpy()
    np.testing.assert_allclose(drawn[:, 0], drawn[:, 1], atol=1e-5)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(covariance) / DRAWS)).all()
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] - 0.6) < 5 * (1 - 0.6**2) / np.sqrt(DRAWS)
    assert abs(drawn[:, 0].var() - 2.0) < 5 * 2.0 * np.sqrt(2 / DRAWS)


def test_a_slate_of_the_head_is_drawn_jointly() -> None:
    inputs = tf.random.stateless_normal([2, 5, 6], seed=(1, 2))
    inputs = tf.concat([inputs, inputs[:, :1]], axis=1)  # the last candidate is the first one again
    head = GaussianProcessHead(8, base_rate=0.1, features=4, seed=1)
    head(inputs[0])
    posterior = GaussianPosterior(head)
    covariance = posterior.covariance(inputs)
    assert covariance.shape == (2, 6, 6)
    logits = posterior(tf.reshape(inputs, [12, 6]))
    variance = tf.reshape(logits.variance, [2, 6])
    np.testing.assert_allclose(tf.linalg.diag_part(covariance), variance, rtol=1e-5)
    drawn = joint_thompson(mean=tf.reshape(logits.mean, [2, 6]), covariance=covariance, seed=tf.constant([1, 1]))
    np.testing.assert_allclose(drawn[:, 0], drawn[:, 5], atol=1e-5)
    again = joint_thompson(mean=tf.reshape(logits.mean, [2, 6]), covariance=covariance, seed=tf.constant([1, 1]))
    np.testing.assert_array_equal(drawn, again)


def test_ensemble_by_hand() -> None:
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over 2 is 7.
    found = ensemble_logits(tf.constant([[1.0, 0.0], [2.0, 0.0], [6.0, 0.0]]))
    np.testing.assert_allclose(found.mean, [3.0, 0.0])
    np.testing.assert_allclose(found.variance, [7.0, 0.0])
    with pytest.raises(ValueError, match="at least 2"):
        ensemble_logits(tf.zeros([1, 4]))
