"""The process over counted cells: against quadrature in one dimension, its own optimum, and an exact GP."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.models.exploration import CountedProcess
from fullrank.models.exploration.counted_process import _expectations


def evidence(process: CountedProcess, mean: np.ndarray, covariance: np.ndarray) -> float:
    """The lower bound of q = N(mean, covariance), for cells that were all shown."""
    prior, m = process._prior, process._prior_mean
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    f = mean[:, None] + np.sqrt(np.diag(covariance))[:, None] * nodes
    likelihood = process.clicks[:, None] * f - process.shown[:, None] * np.logaddexp(0, f)
    inverse = np.linalg.inv(prior)
    gap = mean - m
    divergence = 0.5 * (
        np.trace(inverse @ covariance)
        + gap @ inverse @ gap
        - len(mean)
        + np.linalg.slogdet(prior)[1]
        - np.linalg.slogdet(covariance)[1]
    )
    return float((likelihood @ (weights / weights.sum())).sum() - divergence)


def shown(counts: list[int], clicks: list[int], *, covariance: np.ndarray) -> CountedProcess:
    process = CountedProcess(covariance, prior_mean=-1.0)
    cells = np.repeat(np.arange(len(counts)), counts)
    labels = np.concatenate([np.arange(n) < k for n, k in zip(counts, clicks, strict=True)]).astype(float)
    process.observe(cells, labels)
    return process


def test_q_is_the_optimum_of_the_evidence() -> None:
    covariance = np.array([[1.0, 0.6, 0.1], [0.6, 1.5, 0.3], [0.1, 0.3, 0.8]])
    process = shown([20, 5, 40], [6, 0, 25], covariance=covariance)
    own = process.covariance(np.array([[0, 1, 2]]))[0]
    best = evidence(process, process.mean, own)
    draw = np.random.default_rng(0)
    for _ in range(40):
        moved = process.mean + 0.05 * draw.normal(size=3)
        change = 0.03 * draw.normal(size=(3, 3))
        assert evidence(process, moved, own) < best + 1e-6
        assert evidence(process, process.mean, own + change @ change.T) < best + 1e-6
        shrunk = np.diag(1 - 0.05 * draw.random(3))
        assert evidence(process, process.mean, shrunk @ own @ shrunk) < best + 1e-6


def test_many_examples_find_the_rate() -> None:
    process = shown([20_000], [3000], covariance=np.array([[2.0]]))
    # The logit of .15, with the deviation 1 / sqrt(n p (1 - p)) = .0198 of a maximum-likelihood estimate.
    assert process.mean[0] == pytest.approx(np.log(0.15 / 0.85), abs=0.005)
    assert np.sqrt(process.variance[0]) == pytest.approx(0.0198, rel=0.01)


def test_what_was_not_shown_keeps_the_prior_or_borrows() -> None:
    covariance = np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [0.9, 0.0, 1.0]])
    process = CountedProcess(covariance, prior_mean=-2.0)
    process.observe(np.zeros(300, np.int64), np.arange(300) < 150)
    assert (process.mean[1], process.variance[1]) == pytest.approx((-2.0, 1.0))
    assert -1.0 < process.mean[2] < process.mean[0]
    assert process.variance[0] < process.variance[2] < 1.0


def test_in_parts_as_at_once() -> None:
    covariance = 0.5 * np.eye(4) + 0.5
    draw = np.random.default_rng(1)
    cells, clicks = draw.integers(0, 4, 400), draw.integers(0, 2, 400)
    parts, once = (CountedProcess(covariance, prior_mean=0.0) for _ in range(2))
    once.observe(cells, clicks)
    for place in range(0, 400, 100):
        parts.observe(cells[place : place + 100], clicks[place : place + 100])
    np.testing.assert_allclose(parts.mean, once.mean, atol=1e-3)
    np.testing.assert_allclose(parts.variance, once.variance, atol=1e-3)


def test_covariance_of_slates_agrees_with_the_variances() -> None:
    covariance = 0.5 * np.eye(4) + 0.5
    process = CountedProcess(covariance, prior_mean=0.0)
    cells = np.array([[0, 1, 3], [2, 2, 1]])
    np.testing.assert_allclose(process.covariance(cells)[0], covariance[np.ix_([0, 1, 3], [0, 1, 3])])
    process.observe(np.array([0, 0, 2]), np.array([1, 0, 1]))
    found = process.covariance(cells)
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2), process.variance[cells], atol=1e-9)
    np.testing.assert_allclose(found[1, 0], found[1, 1])  # the same cell twice


def test_expectations_of_a_certain_logit() -> None:
    expected, slope = _expectations(np.array([0.0, 2.0]), np.array([1e-12, 1e-12]))
    np.testing.assert_allclose(expected, [0.5, 1 / (1 + np.exp(-2.0))], rtol=1e-5)
    np.testing.assert_allclose(slope, expected * (1 - expected), rtol=1e-5)


def test_refuses_what_is_no_covariance() -> None:
    with pytest.raises(ValueError, match=r"\[C, C\]"):
        CountedProcess(np.ones((2, 3)), prior_mean=0.0)
