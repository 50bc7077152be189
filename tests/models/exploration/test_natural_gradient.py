"""Natural-gradient steps: the exact process in one, a bound that rises, and the optimum that gradients agree on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers import GaussianProcessHead
from fullrank.layers.legacy_keras import tfp
from fullrank.models.exploration import binomial, fit_posterior, gaussian, natural_step
from fullrank.models.exploration.natural_gradient import Expected, NaturalParameters
from fullrank.models.objectives import negative_elbo


def head_at(points: tf.Tensor, **options: Any) -> GaussianProcessHead:
    """A head whose x are its inputs and whose inducing points are `points`."""
    width = points.shape[1]
    arguments = {"base_rate": 0.2, "features": width, "normalize": False, "seed": 1, "k_means_steps": 0, **options}
    head = GaussianProcessHead(points.shape[0], **arguments)
    head.build((None, width))
    head.adapter().kernel.assign(tf.eye(width)[tf.newaxis])
    head(points, training=True)
    return head


def variational_weights(head: GaussianProcessHead) -> list[tf.Variable]:
    """Location and scale of q; not the kernel's length scale, which `fit_posterior` leaves alone."""
    return [w for w in head.trainable_weights if w.name.split("/")[-1].split(":")[0] in ("location", "scale")]


def test_a_step_by_hand() -> None:
    # One input with a = 2, slope 3, curvature .5, at v = 1: mean 2. The site adds .5 * 4 = 2 to the precision and
    # (3 + .5 * 2) * 2 = 8 to the shift. From precision 1 and shift 1, half a step gives 2 and 4.5.
    now = NaturalParameters(tf.constant([[1.0]]), tf.constant([[[1.0]]]))
    expected = Expected(tf.zeros([1, 1]), tf.constant([[3.0]]), tf.constant([[0.5]]))
    rows, mean = tf.constant([[[2.0]]]), tf.constant([[2.0]])
    whole = natural_step(now, rows=rows, mean=mean, expected=expected, size=1.0)
    np.testing.assert_allclose([whole.shift[0, 0], whole.precision[0, 0, 0]], [8.0, 3.0])
    half = natural_step(now, rows=rows, mean=mean, expected=expected, size=0.5)
    np.testing.assert_allclose([half.shift[0, 0], half.precision[0, 0, 0]], [4.5, 2.0])
    twice = natural_step(now, rows=rows, mean=mean, expected=expected, size=1.0, scale=2.0)
    np.testing.assert_allclose([twice.shift[0, 0], twice.precision[0, 0, 0]], [16.0, 5.0])


def test_with_a_gaussian_likelihood_one_step_is_the_exact_process() -> None:
    draw = np.random.default_rng(0)
    data, points = draw.normal(size=(12, 2)), draw.normal(size=(7, 2))
    values, noise = draw.normal(size=12), 0.3
    head = head_at(tf.constant(data, tf.float32), base_rate=0.5, length_scale=0.8, jitter=1e-10)
    bounds = fit_posterior(
        head, inputs=tf.constant(data, tf.float32), likelihood=gaussian(values=values, noise_variance=noise), steps=1
    )
    exact = tfp.distributions.GaussianProcessRegressionModel(
        tfp.math.psd_kernels.ExponentiatedQuadratic(tf.constant(1.0, tf.float64), tf.constant(0.8, tf.float64)),
        points,
        data,
        values,
        observation_noise_variance=noise,
        predictive_noise_variance=0.0,
    )
    found = head(tf.constant(points, tf.float32))
    np.testing.assert_allclose(found.mean, exact.mean(), atol=1e-4)
    np.testing.assert_allclose(found.variance, exact.variance(), atol=1e-4)
    # And the bound is the evidence of the exact process.
    marginal = tfp.distributions.GaussianProcess(
        tfp.math.psd_kernels.ExponentiatedQuadratic(tf.constant(1.0, tf.float64), tf.constant(0.8, tf.float64)),
        data,
        observation_noise_variance=noise,
    )
    assert bounds[-1] == pytest.approx(float(marginal.log_prob(values)), abs=1e-4)


def counts(seed: int = 4) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(30, 2))
    shows = draw.integers(0, 400, 30)
    clicks = draw.binomial(shows, 1 / (1 + np.exp(2 - 1.5 * inputs[:, 0])))
    return tf.constant(inputs, tf.float32), tf.constant(clicks), tf.constant(shows)


def test_the_bound_rises_to_an_optimum_that_gradients_agree_on() -> None:
    inputs, clicks, shows = counts()
    head = head_at(inputs[:10], length_scale=1.0)
    bounds = fit_posterior(head, inputs=inputs, likelihood=binomial(clicks=clicks, shows=shows), tolerance=1e-12)
    assert len(bounds) > 3
    assert (np.diff(bounds) > 0).all()
    # Each show as an example of its own: the loss by which a head is trained has no slope left.
    k, n = clicks.numpy(), shows.numpy()
    order = np.repeat(np.arange(30), n)
    labels = np.concatenate([np.arange(shown) < clicked for clicked, shown in zip(k, n, strict=True)])
    with tf.GradientTape() as tape:
        mean, variance = head(tf.gather(inputs, order))
        loss = negative_elbo(
            labels=tf.constant(labels, tf.float32),
            mean=mean,
            variance=variance,
            divergence=head.kl_divergence(),
            examples=len(order),
        )
    assert -float(loss) * len(order) == pytest.approx(bounds[-1], rel=1e-4)
    of_q = variational_weights(head)
    slopes = [
        tf.linalg.band_part(slope, -1, 0) if slope.shape.rank == 3 else slope for slope in tape.gradient(loss, of_q)
    ]
    assert max(float(tf.reduce_max(tf.abs(slope))) for slope in slopes) * len(order) < 0.05


def test_begins_where_the_head_is() -> None:
    inputs, clicks, shows = counts()
    head, likelihood = head_at(inputs), binomial(clicks=clicks, shows=shows)
    first = fit_posterior(head, inputs=inputs, likelihood=likelihood)
    again = fit_posterior(head, inputs=inputs, likelihood=likelihood)
    assert len(again) <= 2
    assert again[0] == pytest.approx(first[-1], abs=1e-2)


def test_counting_together_changes_nothing_and_no_show_says_nothing() -> None:
    points = tf.constant([[0.0], [1.0], [5.0]])
    together, apart = head_at(points), head_at(points)
    fit_posterior(together, inputs=points, likelihood=binomial(clicks=[2.0, 1.0, 0.0], shows=[4.0, 1.0, 0.0]))
    inputs = tf.constant([[0.0], [0.0], [1.0], [0.0], [0.0]])
    ones = tf.ones(5)
    fit_posterior(apart, inputs=inputs, likelihood=binomial(clicks=[1.0, 0.0, 1.0, 1.0, 0.0], shows=ones))
    for one, other in zip(together(points), apart(points), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    far = together(points)
    assert float(far.mean[2]) == pytest.approx(np.log(0.25), abs=1e-3)
    assert float(far.variance[2]) == pytest.approx(1.0, abs=1e-3)
    assert far.variance[0] < far.variance[1] < far.variance[2]


def test_several_tasks_are_fitted_as_each_alone() -> None:
    inputs, clicks, shows = counts()
    both = GaussianProcessHead(6, base_rate=(0.2, 0.1), features=2, seed=3)
    stacked = tf.stack([inputs, inputs[::-1]], axis=1)
    both(stacked, training=True)
    fit_posterior(
        both,
        inputs=stacked,
        likelihood=binomial(clicks=tf.stack([clicks, clicks[::-1]]), shows=tf.stack([shows, shows[::-1]])),
        tolerance=1e-12,
    )
    for task, rate in enumerate((0.2, 0.1)):
        alone = GaussianProcessHead(6, base_rate=rate, features=2, seed=3)
        alone.build((None, 2))
        for mine, theirs in zip(alone.weights, both.weights, strict=True):
            mine.assign(theirs if mine.shape.rank == 0 else theirs[task : task + 1])
        order = slice(None, None, -1) if task else slice(None)
        fit_posterior(
            alone,
            inputs=stacked[:, task],
            likelihood=binomial(clicks=clicks[order], shows=shows[order]),
            tolerance=1e-12,
        )
        np.testing.assert_allclose(alone(stacked[:, task]).mean, both(stacked).mean[:, task], atol=1e-3)


def test_many_equal_inputs_and_certain_counts_do_not_break_it() -> None:
    inputs = tf.ones([50, 3])
    head = head_at(inputs)
    bounds = fit_posterior(head, inputs=inputs, likelihood=binomial(clicks=tf.zeros(50), shows=1000 * tf.ones(50)))
    found = head(inputs[:1])
    assert np.isfinite(bounds).all()
    assert float(found.mean[0]) < -5.0
    assert 0.0 < float(found.variance[0]) < 1.0


def test_adam_on_the_same_bound_needs_far_more_steps() -> None:
    inputs, clicks, shows = counts()
    natural, adam = head_at(inputs[:10]), head_at(inputs[:10])
    likelihood = binomial(clicks=clicks, shows=shows)
    bounds = fit_posterior(natural, inputs=inputs, likelihood=likelihood)
    of_q = variational_weights(adam)
    optimizer = keras.optimizers.Adam(0.01)
    for _ in range(10 * len(bounds)):
        with tf.GradientTape() as tape:
            mean, variance = adam(inputs)
            expected = likelihood(mean=tf.cast(mean, tf.float64), variance=tf.cast(variance, tf.float64))
            bound = tf.reduce_sum(expected.log_likelihood) - tf.cast(adam.kl_divergence(), tf.float64)
            loss = -bound
        optimizer.apply_gradients(zip(tape.gradient(loss, of_q), of_q, strict=True))
    assert float(bound) < bounds[-1]
