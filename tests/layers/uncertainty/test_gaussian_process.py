"""The Gaussian-process head against exact processes, in its limits, and in training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers import GaussianPosterior, GaussianProcessHead
from fullrank.layers.legacy_keras import tfp
from fullrank.layers.uncertainty.covariance_kernels import KERNELS
from fullrank.layers.uncertainty.stable_cholesky import cholesky, inverse_cholesky
from fullrank.models.objectives import negative_elbo

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed=(seed, len(shape)))


def named(head: GaussianProcessHead) -> dict[str, tf.Variable]:
    return {weight.name.split("/")[-1].split(":")[0]: weight for weight in head.weights}


def raw(factor: Array) -> Array:
    """The weight `[1, M, M]` that gives a lower-triangular factor `[M, M]`."""
    weight = np.array(factor, np.float64)
    np.fill_diagonal(weight, np.diag(factor) + np.log(-np.expm1(-np.diag(factor))))
    return weight[np.newaxis]


def plain(points: tf.Tensor, **options: Any) -> GaussianProcessHead:
    """A head whose x are its inputs and whose inducing points are `points`."""
    arguments = {"base_rate": 0.1, "features": points.shape[1], "normalize": False, "seed": 1, **options}
    head = GaussianProcessHead(points.shape[0], **arguments)
    head(points)
    named(head)["adapter"].assign(tf.eye(points.shape[1])[tf.newaxis])
    named(head)["inducing"].assign(points[tf.newaxis])
    return head


def learned(head: GaussianProcessHead, *, seed: int = 3, unsure: float = 0.2) -> GaussianProcessHead:
    """Gives q a mean that is large and a small, correlated factor, as training would."""
    draw, size = np.random.default_rng(seed), head.inducing_points
    head_weights = named(head)
    tasks = head_weights["location"].shape[0]
    factor = np.tril(0.02 * draw.normal(size=(size, size)), -1) + unsure * np.eye(size)
    head_weights["scale"].assign(np.repeat(raw(factor), tasks, axis=0))
    head_weights["location"].assign(draw.normal(size=(tasks, size)))
    return head


@pytest.mark.parametrize("kernel", KERNELS)
def test_equals_the_process_of_tensorflow_probability(kernel: Any) -> None:
    head = GaussianProcessHead(24, base_rate=0.1, features=8, kernel=kernel, seed=1)
    inputs = normal(40, 6)
    head(inputs)
    found, expected = learned(head)(inputs), head.distribution(inputs)
    prior_mean = math.log(0.1 / 0.9)
    np.testing.assert_allclose(found.mean.numpy() - prior_mean, expected.mean()[0], atol=1e-4)
    np.testing.assert_allclose(found.variance, expected.variance()[0], atol=1e-4)
    divergence = expected.surrogate_posterior_kl_divergence_prior()
    np.testing.assert_allclose(head.kl_divergence(), divergence[0], rtol=1e-5)


def test_equals_the_exact_process_where_inducing_points_are_the_data() -> None:
    # With a Gaussian likelihood and z = x the best q(u) is the exact posterior, so the sparse process is exact.
    data, points = normal(30, 2), normal(50, 2, seed=5)
    noise = 0.05
    head = plain(data, jitter=1e-9)
    observed = tf.sin(2.0 * tf.cast(data[:, 0], tf.float64)) + 0.1 * tf.cast(data[:, 1], tf.float64)
    data64, points64, kernel = tf.cast(data, tf.float64), tf.cast(points, tf.float64), head.covariance_function()
    kernel = kernel[0]
    location, scale = tfp.distributions.VariationalGaussianProcess.optimal_variational_posterior(
        kernel, data64, data64, observed, tf.constant(noise, tf.float64), jitter=1e-12
    )
    whitening = head.whitening()[0].numpy()
    # TFP's scale is C with cov = C^T C.
    whitened = whitening @ scale.numpy().T
    named(head)["location"].assign((whitening @ location.numpy())[np.newaxis])
    named(head)["scale"].assign(raw(np.linalg.cholesky(whitened @ whitened.T + 1e-12 * np.eye(30))))
    exact = tfp.distributions.GaussianProcessRegressionModel(
        kernel, points64, data64, observed, observation_noise_variance=noise, predictive_noise_variance=0.0
    )
    posterior = GaussianPosterior(head)(points)
    for found in (head(points), posterior):
        np.testing.assert_allclose(found.mean.numpy() - math.log(0.1 / 0.9), exact.mean(), atol=1e-4)
        np.testing.assert_allclose(found.variance, exact.variance(), atol=1e-4)


def test_one_inducing_point_by_hand() -> None:
    # z = 0, a = l = 1, w ~ N(2, 0.5^2). At x with k = exp(-x^2 / 2): mean = m + 2 k, variance = 1 - k^2 + 0.25 k^2.
    # x = 1: k = 0.606531, mean - m = 1.213061, variance = 1 - 0.75 * 0.367879 = 0.724090. m = log(1 / 3).
    # KL = (0.25 + 4 - 1 - 2 log 0.5) / 2 = 2.318147.
    head = plain(tf.zeros([1, 1]), base_rate=0.25, length_scale=1.0)
    named(head)["location"].assign([[2.0]])
    named(head)["scale"].assign(raw(np.array([[0.5]])))
    found = head(tf.constant([[1.0], [100.0]]))
    np.testing.assert_allclose(found.mean, [math.log(1 / 3) + 1.213061, math.log(1 / 3)], rtol=1e-5)
    np.testing.assert_allclose(found.variance, [0.724090, 1.0], rtol=1e-5)  # far away: the prior's
    np.testing.assert_allclose(head.kl_divergence(), 2.318147, rtol=1e-6)


def test_tasks_are_heads_of_their_own() -> None:
    inputs = normal(9, 2, 5)
    several = GaussianProcessHead(6, base_rate=(0.1, 0.3), features=4, kernel="linear_rbf")
    several(inputs)
    learned(several)
    found, posterior = several(inputs), GaussianPosterior(several)(inputs)
    for task, rate in enumerate((0.1, 0.3)):
        one = GaussianProcessHead(6, base_rate=rate, features=4, kernel="linear_rbf")
        one(inputs[:, task])
        for name, weight in named(one).items():
            value = named(several)[name]
            weight.assign(value if name == "started" else value[task : task + 1])
        expected = one(inputs[:, task])
        for both in (found, posterior):
            np.testing.assert_allclose(both.mean[:, task], expected.mean, atol=1e-5)
            np.testing.assert_allclose(both.variance[:, task], expected.variance, atol=1e-5)
        np.testing.assert_allclose(several.kl_divergence()[task], one.kl_divergence(), rtol=1e-6)


def test_near_duplicates_do_not_break_the_factor() -> None:
    close = tf.ones([1000, 4]) + 1e-6 * normal(1000, 4)
    kernels: tuple[Any, ...] = tuple(KERNELS)
    for kernel in kernels:
        head = GaussianProcessHead(64, base_rate=0.1, features=4, kernel=kernel, seed=1)
        with tf.GradientTape() as tape:
            found = head(close, training=True)  # all inducing points fall onto one
            loss = tf.reduce_sum(found.variance) + tf.reduce_sum(found.mean)
        for gradient in tape.gradient(loss, head.trainable_weights):
            assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()
        assert np.isfinite(found.mean.numpy()).all()
        assert (found.variance.numpy() > 0).all()


def test_jitter_grows_only_where_it_must() -> None:
    # Eigenvalues 2 + e and -e with e = 5e-5 beside the unit matrix: jitter 1e-6 and 1e-5 fail, 1e-4 succeeds.
    wrong = np.array([[1.0, 1.0 + 5e-5], [1.0 + 5e-5, 1.0]])
    found = cholesky(tf.constant(np.stack([wrong, np.eye(2)]))).numpy()
    np.testing.assert_allclose(found[0] @ found[0].T, wrong + 1e-4 * np.eye(2), rtol=1e-9)
    np.testing.assert_allclose(found[1] @ found[1].T, (1 + 1e-6) * np.eye(2), rtol=1e-12)
    assert np.isnan(cholesky(tf.constant([[1.0, 2.0], [2.0, 1.0]])).numpy()).any()  # no jitter mends this


def test_gradient_of_the_inverse_factor() -> None:
    draw = np.random.default_rng(0)
    root, weights = draw.normal(size=(2, 5, 5)), tf.constant(draw.normal(size=(2, 5, 5)))
    matrix = tf.constant(root @ root.transpose(0, 2, 1) + np.eye(5))
    gradients = []
    for own in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(matrix)
            inverse = inverse_cholesky(matrix, jitter=1e-14) if own else tf.linalg.inv(tf.linalg.cholesky(matrix))
            value = tf.reduce_sum(weights * inverse)
        gradient = tape.gradient(value, matrix).numpy()
        gradients.append(0.5 * (gradient + gradient.transpose(0, 2, 1)))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-8)
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        value = tf.reduce_sum(tf.cast(weights, tf.float32) * inverse_cholesky(matrix, dtype=tf.float32))
    gradient = tape.gradient(value, matrix).numpy()
    np.testing.assert_allclose(0.5 * (gradient + gradient.transpose(0, 2, 1)), gradients[1], rtol=1e-3, atol=1e-5)


def clicks(number: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Inputs `[n, 2]` in a square and clicks with the logit `3 sin 2 x_1 - 1`."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-2, 2, size=(number, 2))
    labels = draw.uniform(size=number) < 1 / (1 + np.exp(1 - 3 * np.sin(2 * inputs[:, 0])))
    return tf.constant(inputs, tf.float32), tf.constant(labels, tf.float32)


def fitted(head: GaussianProcessHead, inputs: tf.Tensor, labels: tf.Tensor, steps: int) -> list[float]:
    """Trains the head by Adam; returns the evidence of every step."""
    head(inputs, training=True)
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            mean, variance = head(inputs, training=True)
            loss = negative_elbo(
                labels=labels, mean=mean, variance=variance, divergence=head.kl_divergence(), examples=len(labels)
            )
        optimizer.apply_gradients(zip(tape.gradient(loss, head.trainable_weights), head.trainable_weights, strict=True))
        return -loss

    return [float(step()) for _ in range(steps)]


def test_evidence_rises_and_uncertainty_keeps_to_where_no_data_are() -> None:
    inputs, labels = clicks(1000, seed=1)
    head = plain(normal(32, 2), length_scale=1.0)
    named(head)["adapter"].assign([[[1.0, 0.0], [0.0, 1.0]]])
    evidence = fitted(head, inputs, labels, steps=150)
    assert np.mean(evidence[-10:]) > np.mean(evidence[50:60]) > np.mean(evidence[:10])
    base = float(tf.reduce_mean(labels))
    entropy = base * math.log(base) + (1 - base) * math.log(1 - base)
    assert evidence[-1] > 0.85 * entropy  # a bound on the mean log likelihood, above what the base rate reaches
    truth = 3 * np.sin(2 * inputs[:, 0].numpy()) - 1
    found = head(inputs)
    assert np.corrcoef(found.mean, truth)[0, 1] > 0.95
    far = head(tf.constant([[300.0, -300.0]]))
    prior = float(tf.math.softplus(named(head)["amplitude"])[0]) ** 2
    np.testing.assert_allclose(far.variance, [prior], rtol=1e-3)
    np.testing.assert_allclose(far.mean, head.prior_mean, atol=1e-3)
    assert float(tf.reduce_max(found.variance)) < 0.5 * prior


def test_an_unseen_ad_is_less_certain_than_a_frequent_one() -> None:
    # 20 ads with fixed embeddings; ad i has 2^(i / 2) examples or so, ad 0 none.
    ads = tf.math.l2_normalize(normal(20, 16, seed=2), axis=1)
    counts = np.array([0] + [int(2 ** (i / 2)) for i in range(1, 20)])
    shown = np.repeat(np.arange(20), counts)
    labels = tf.constant(np.random.default_rng(0).uniform(size=len(shown)) < 0.2, tf.float32)
    head = GaussianProcessHead(20, base_rate=0.2, features=16, seed=1)
    fitted(head, tf.gather(ads, shown), labels, steps=200)
    variance = head(ads).variance.numpy()
    assert variance[0] > 2 * variance[-5:].max()
    assert np.corrcoef(np.log(counts[1:]), variance[1:])[0, 1] < -0.5


def test_the_first_training_batch_places_the_inducing_points_once() -> None:
    head = GaussianProcessHead(5, base_rate=0.1, features=3, seed=4)
    head(normal(7, 3))
    before = named(head)["inducing"].numpy()
    head(tf.zeros([0, 3]), training=True)
    np.testing.assert_array_equal(named(head)["inducing"], before)
    centres = tf.math.l2_normalize(normal(5, 3, seed=8), axis=1)
    near = tf.repeat(centres, 40, axis=0) * (1.0 + 0.01 * normal(200, 1))
    head(near, training=True)
    placed = named(head)["inducing"].numpy()[0]
    distances = np.linalg.norm(placed[:, None] - head.adapted(near)[0].numpy()[None], axis=2)
    assert distances.min(axis=1).max() < 0.1  # each lies among the data
    head(normal(9, 3, seed=5), training=True)
    np.testing.assert_array_equal(named(head)["inducing"].numpy()[0], placed)


@pytest.mark.parametrize("kernel", KERNELS)
def test_posterior_for_serving_equals_the_process(kernel: Any, tmp_path: Path) -> None:
    head = GaussianProcessHead(64, base_rate=0.1, features=8, kernel=kernel, seed=1)
    inputs = normal(100, 6)
    head(inputs, training=True)
    learned(head)
    expected = head.distribution(inputs)
    mean, variance = expected.mean()[0].numpy() + math.log(0.1 / 0.9), expected.variance()[0].numpy()
    posterior = GaussianPosterior(head)
    found = posterior(inputs)
    np.testing.assert_allclose(found.mean, mean, atol=1e-5)
    np.testing.assert_allclose(found.variance, variance, atol=1e-5)
    low = GaussianPosterior(head, dtype=tf.float32)(inputs)
    np.testing.assert_allclose(low.mean, mean, atol=1e-3)
    np.testing.assert_allclose(low.variance, variance, atol=1e-3)
    slates = posterior.covariance(tf.reshape(inputs, [5, 20, 6])).numpy()
    whole = expected.covariance()[0].numpy()
    for slate in range(5):
        part = slice(20 * slate, 20 * slate + 20)
        np.testing.assert_allclose(slates[slate], whole[part, part], atol=1e-6)
    serve = tf.function(posterior.__call__, input_signature=[tf.TensorSpec([None, 6], tf.float32)])
    module = tf.Module()
    module.posterior, module.serve = posterior, serve
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.serve(inputs)[1], variance, atol=1e-5)
    assert not module.trainable_variables


def test_posterior_keeps_its_answers_until_it_is_refreshed() -> None:
    head, inputs = GaussianProcessHead(6, base_rate=0.1, features=3), normal(4, 3)
    head(inputs)
    posterior = GaussianPosterior(head)
    before = posterior(inputs).mean.numpy()
    for weight in head.trainable_weights:
        weight.assign_add(0.3 * tf.ones_like(weight))
    np.testing.assert_array_equal(posterior(inputs).mean, before)
    posterior.refresh(head)
    np.testing.assert_allclose(posterior(inputs).mean, head(inputs).mean, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_rate": 0.0}, "base_rate must lie between"),
        ({"base_rate": 0.1, "kernel": "cosine"}, "kernel must be one of"),
        ({"base_rate": 0.1, "features": 0}, "features >= 1"),
        ({"base_rate": 0.1, "length_scale": 0.0}, "must be positive"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianProcessHead(4, **options)


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="takes inputs"):
        GaussianProcessHead(4, base_rate=0.1)(tf.zeros([2, 3, 4, 5]))
    with pytest.raises(ValueError, match="one for each of 3 tasks"):
        GaussianProcessHead(4, base_rate=(0.1, 0.2))(tf.zeros([2, 3, 4]))
    with pytest.raises(ValueError, match="was built by a call"):
        GaussianPosterior(GaussianProcessHead(4, base_rate=0.1))
