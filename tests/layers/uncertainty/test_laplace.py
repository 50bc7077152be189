"""Laplace's approximation of the last layer against NumPy, and random Fourier features against their kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers import LastLayerLaplace, RandomFeatureGP
from fullrank.layers.uncertainty import last_layer_laplace


def normal(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed=(seed, len(shape)))


@pytest.mark.parametrize("use_bias", [True, False])
def test_variance_equals_numpy_over_several_batches(use_bias: bool) -> None:
    layer = LastLayerLaplace(base_rate=0.2, prior_precision=0.7, use_bias=use_bias)
    batches = [normal(50, 4, seed=s) for s in range(3)]
    layer(batches[0])
    layer.set_weights([weight + 0.1 if weight.shape[-1] == 1 else weight for weight in layer.get_weights()])
    weight = np.concatenate([value.ravel() for value in layer.get_weights() if value.shape[-1] == 1])
    precision = 0.7 * np.eye(len(weight))
    for number, batch in enumerate(batches):
        weights = tf.constant(np.linspace(0.5, 2.0, 50), tf.float32) if number == 1 else None
        layer.accumulate(batch, weights=weights)
        x = np.concatenate([batch, np.ones([50, int(use_bias)])], axis=1).astype(np.float64)
        probability = 1 / (1 + np.exp(-(x @ weight + math.log(0.2 / 0.8))))
        scale = probability * (1 - probability) * (1.0 if weights is None else weights.numpy())
        precision += x.T @ (x * scale[:, None])
    points = normal(7, 4, seed=9)
    extended = np.concatenate([points, np.ones([7, int(use_bias)])], axis=1)
    prior = layer(points)
    np.testing.assert_allclose(prior.variance, (extended**2).sum(axis=1) / 0.7, rtol=1e-5)  # not yet refreshed
    layer.refresh()
    found = layer(points)
    np.testing.assert_allclose(found.mean, extended @ weight + math.log(0.2 / 0.8), rtol=1e-4, atol=1e-5)
    expected = np.einsum("bi,ij,bj->b", extended, np.linalg.inv(precision), extended)
    np.testing.assert_allclose(found.variance, expected, rtol=1e-4)
    np.testing.assert_allclose(layer.prior_penalty(), 0.35 * (weight**2).sum(), rtol=1e-5)
    layer.reset()
    layer.refresh()
    np.testing.assert_allclose(layer(points).variance, prior.variance, rtol=1e-5)


def test_several_tasks_are_several_layers() -> None:
    rates = (0.3, 0.1)
    inputs = normal(40, 2, 3)
    for make in (
        lambda rate: LastLayerLaplace(base_rate=rate),
        lambda rate: RandomFeatureGP(16, base_rate=rate),
    ):
        both = make(rates)
        both(inputs)
        both.accumulate(inputs, decay=0.5)
        both.accumulate(inputs, decay=0.5)
        both.refresh()
        penalties = both.prior_penalty()
        assert penalties.shape == (2,)
        for task, rate in enumerate(rates):
            one, own = make(rate), inputs[:, task]
            one(own)
            one.set_weights([weight[task : task + 1] for weight in both.get_weights()])
            for mine, theirs in zip(one(own), both(inputs), strict=True):
                np.testing.assert_allclose(mine, theirs[:, task], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(one.prior_penalty(), penalties[task], rtol=1e-6)


@pytest.mark.parametrize(("replicas", "precision"), [(1, 2.5), (2, 2.75)])
def test_decay_forgets(monkeypatch: pytest.MonkeyPatch, replicas: int, precision: float) -> None:
    # x = 2, no bias, w = 0: p (1 - p) = 1/4, so a batch of one adds 1. Twice with decay 0.5: 0.5 + 1 = 1.5; H = 2.5.
    # Each of two replicas adds its own batch and forgets half of that half: one of them makes it 1 + 1 - 1/4.
    monkeypatch.setattr(last_layer_laplace, "replicas", lambda: replicas)
    layer = LastLayerLaplace(decay=0.5, use_bias=False)
    layer(tf.zeros([1, 1]))
    layer.set_weights([np.zeros_like(weight) if n == 0 else weight for n, weight in enumerate(layer.get_weights())])
    for _ in range(2):
        layer.accumulate(tf.constant([[2.0]]))
    layer.refresh()
    np.testing.assert_allclose(layer(tf.constant([[1.0]])).variance, [1 / precision], rtol=1e-5)


def test_random_features_have_the_kernel() -> None:
    # An average of R products of cosines: its error is about a^2 / sqrt(R) = 0.03 for a = 1.5, R = 5,000.
    layer = RandomFeatureGP(5000, base_rate=0.1, amplitude=1.5, length_scale=0.8, normalize=False, seed=1)
    x = normal(6, 3)
    layer(x)
    features = layer.fourier_features(x).numpy()
    squares = ((x[:, None] - x[None]) ** 2).numpy().sum(axis=2)
    np.testing.assert_allclose(features @ features.T, 2.25 * np.exp(-squares / (2 * 0.64)), atol=0.15)


def test_random_features_are_certain_near_the_data_and_have_the_prior_far_away() -> None:
    layer = RandomFeatureGP(1024, base_rate=0.1, length_scale=1.0, normalize=False, seed=1)
    data, far = 0.3 * normal(500, 3), 50.0 + normal(20, 3)
    before = layer(data)
    np.testing.assert_allclose(before.variance, np.ones(500), atol=0.2)
    for _ in range(4):
        layer.accumulate(data)
    layer.refresh()
    assert float(tf.reduce_mean(layer(data).variance)) < 0.15
    np.testing.assert_allclose(tf.reduce_mean(layer(far).variance), 1.0, atol=0.1)
    np.testing.assert_array_equal(layer(data).mean, before.mean)
    layer.reset()
    layer.refresh()
    np.testing.assert_allclose(layer(data).variance, before.variance, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (LastLayerLaplace, {"prior_precision": 0.0}, "prior_precision > 0"),
        (LastLayerLaplace, {"decay": 0.0}, "decay <= 1"),
        (LastLayerLaplace, {"base_rate": 1.0}, "base_rate must lie between"),
        (LastLayerLaplace, {"base_rate": (0.5, 0.0)}, "base_rate must lie between"),
        (RandomFeatureGP, {"features": 8, "base_rate": 0.0}, "base_rate must lie between"),
        (RandomFeatureGP, {"features": 0, "base_rate": 0.1}, "features >= 1"),
    ],
)
def test_wrong_arguments(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)
