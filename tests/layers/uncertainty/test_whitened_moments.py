"""Moments of the sparse process: against NumPy, and their gradient against the chain rule taken op by op in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers.uncertainty.whitened_moments import whitened_moments

JITTER = 1e-6


def inputs(tasks: int, batch: int, points: int, *, seed: int = 0) -> list[tf.Tensor]:
    """Rows and covariance of an RBF kernel, and a q; all float64."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(tasks, batch, 3)), draw.normal(size=(tasks, points, 3))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.exp(-0.5 * ((a[:, :, None] - b[:, None]) ** 2).sum(axis=-1))
        return found

    scale = np.tril(0.2 * draw.normal(size=(tasks, points, points))) + 0.6 * np.eye(points)
    arrays = (kernel(x, z), kernel(z, z), draw.normal(size=(tasks, points)), scale)
    return [tf.constant(array, tf.float64) for array in arrays]


def op_by_op(rows: tf.Tensor, covariance: tf.Tensor, location: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, ...]:
    size = covariance.shape[-1]
    jitter = JITTER * tf.reduce_mean(tf.stop_gradient(tf.linalg.diag_part(covariance)), axis=-1)[:, None, None]
    factor = tf.linalg.cholesky(covariance + jitter * tf.eye(size, dtype=tf.float64))
    whitened = tf.linalg.matrix_transpose(tf.linalg.triangular_solve(factor, tf.linalg.matrix_transpose(rows)))
    explained = tf.square(whitened) - tf.square(tf.matmul(whitened, scale))
    return tf.linalg.matvec(whitened, location), tf.reduce_sum(explained, axis=-1)


def narrowed(given: list[tf.Tensor]) -> list[tf.Tensor]:
    return [tf.cast(tensor, tf.float32) for tensor in given]


@pytest.mark.parametrize(("tasks", "batch", "points"), [(1, 40, 6), (3, 25, 9), (2, 0, 4), (1, 7, 1)])
def test_moments_and_gradient_are_those_of_the_chain_rule(tasks: int, batch: int, points: int) -> None:
    exact = inputs(tasks, batch, points)
    draw = np.random.default_rng(1)
    weights = [tf.constant(draw.normal(size=(tasks, batch)), tf.float64) for _ in range(2)]
    with tf.GradientTape() as tape:
        tape.watch(exact)
        expected = op_by_op(*exact)
        loss = tf.add_n([tf.reduce_sum(w * each) for w, each in zip(weights, expected, strict=True)])
    slopes = tape.gradient(loss, exact)
    given = narrowed(exact)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = whitened_moments(*given, exact=exact[1], jitter=JITTER)
        loss = tf.add_n([tf.reduce_sum(tf.cast(w, tf.float32) * each) for w, each in zip(weights, found, strict=True)])
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    for place, (mine, theirs) in enumerate(zip(tape.gradient(loss, given), slopes, strict=True)):
        own, others = mine.numpy().astype(np.float64), theirs.numpy()
        if place == 1:  # only its symmetric part means anything
            own, others = (each + np.swapaxes(each, 1, 2) for each in (own, others))
        np.testing.assert_allclose(own, others, rtol=1e-2, atol=1e-3 * (np.abs(others).max() if batch else 1.0))


def test_by_hand() -> None:
    # K = 4 (+ 4e-6), L = 2: a = k / 2; v = 3, S = .5, so P = .75. k = 1: mean 1.5, explained .75 / 4.
    found = whitened_moments(
        tf.constant([[[1.0], [2.0]]]), tf.constant([[[4.0]]]), tf.constant([[3.0]]), tf.constant([[[0.5]]]),
        exact=tf.constant([[[4.0]]], tf.float64), jitter=JITTER,
    )  # fmt: skip
    np.testing.assert_allclose(found[0], [[1.5, 3.0]], rtol=1e-5)
    np.testing.assert_allclose(found[1], [[0.1875, 0.75]], rtol=1e-5)
