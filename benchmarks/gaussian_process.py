"""The cost of the Gaussian-process head in serving and in training.

Serving, B = 100 candidates and 256 inducing points, from the input of the head to mean and variance:

* posterior: `GaussianPosterior` against `tfd.VariationalGaussianProcess` of the same process in a graph of its own, as
  it comes and in its whitened form, which is cheaper. That they are equal to 1e-5 is checked first (float32: 1e-3).
* thompson: a signature of an MLP of 400-400-400 with the posterior that draws, against one that gives the mean's
  probability.
* examples: the posterior of a head that was trained on ten times as many examples, against the other.

Training, a step by Adam of an MLP of 400-400-400 on 416 inputs: with the head, against a logit in its place.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras as keras
import tqdm

import report
from fullrank.layers import FlatDNN, GaussianPosterior, GaussianProcessHead, calibrated_probability
from fullrank.layers.legacy_keras import tfp
from fullrank.layers.uncertainty.stable_cholesky import cholesky
from fullrank.models.exploration import thompson
from fullrank.models.objectives import negative_elbo
from fullrank.models.objectives.losses import binary_cross_entropy

CANDIDATES: Final = 100
INDUCING: Final = 256
FIELDS: Final = 26
WIDTH: Final = 16
UNITS: Final = (400, 400, 400)
EXAMPLES: Final = 1_000_000
SERVES_A_CALL: Final = 20
STEPS_A_CALL: Final = 3


def trained_head(examples: int, *, inducing: int = INDUCING) -> GaussianProcessHead:
    """A head after one pass over `examples` examples of 64 inputs."""
    keras.utils.set_random_seed(1)
    head = GaussianProcessHead(inducing, base_rate=0.1, length_scale=1.5, seed=1)
    optimizer = keras.optimizers.Adam(0.01)
    draw = np.random.default_rng(1)
    truth = draw.normal(size=64) / 8

    @tf.function
    def step(inputs: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            mean, variance = head(inputs, training=True)
            loss = negative_elbo(
                labels=labels, mean=mean, variance=variance, divergence=head.kl_divergence(), examples=examples
            )
        optimizer.apply_gradients(zip(tape.gradient(loss, head.trainable_weights), head.trainable_weights, strict=True))

    for _ in range(examples // 1000):
        inputs = draw.normal(size=(1000, 64))
        labels = draw.uniform(size=1000) < 1 / (1 + np.exp(2 - 3 * np.sin(3 * inputs @ truth)))
        step(tf.constant(inputs, tf.float32), tf.constant(labels, tf.float32))
    return head


def candidates(width: int) -> tf.Tensor:
    """The inputs of a request."""
    return tf.constant(np.random.default_rng(3).normal(size=(CANDIDATES, width)), tf.float32)


def repeated(function: Callable[..., Any], inputs: tf.Tensor) -> Callable[[], None]:
    """A function that answers `SERVES_A_CALL` requests one after the other within one graph, without Python's share."""
    requests = tf.stack([tf.roll(inputs, shift, axis=0) for shift in range(SERVES_A_CALL)])

    @tf.function
    def answers(requests: Any) -> Any:
        def answer(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return number + 1, total + tf.add_n([tf.reduce_sum(part) for part in function(requests[number])])

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda number, _: number < SERVES_A_CALL, answer, start, parallel_iterations=1)[1]

    return lambda: answers(requests).numpy()


def called(function: Callable[..., Any], inputs: tf.Tensor) -> Callable[[], None]:
    """A function that makes `SERVES_A_CALL` calls."""

    def run() -> None:
        for _ in range(SERVES_A_CALL):
            found = function(inputs)
        tf.nest.flatten(found)[0].numpy()

    return run


def posterior_against_tfp(rounds: int, *, dtype: tf.DType, whitened: bool, goal: str) -> report.Row:
    """Time of the process through TensorFlow Probability over that of the posterior."""
    head, inputs = trained_head(20_000), candidates(64)
    ours = tf.function(GaussianPosterior(head, dtype=dtype).__call__)
    location, scale = (tf.cast(value, tf.float64)[0] for value in head.variational())
    if not whitened:
        factor = tf.linalg.inv(head.whitening()[0])
        location, scale = tf.linalg.matvec(factor, location), tf.matmul(factor, scale)

    @tf.function
    def through_tfp(inputs: Any) -> Any:
        process = tfp.distributions.VariationalGaussianProcess(
            head.covariance_function()[0],
            index_points=tf.cast(head.adapted(inputs)[0], tf.float64),
            inducing_index_points=tf.cast(head.inducing()[0], tf.float64),
            variational_inducing_observations_loc=location,
            variational_inducing_observations_scale=scale,
            observation_noise_variance=tf.constant(0.0, tf.float64),
            use_whitening_transform=whitened,
            cholesky_fn=cholesky,
        )
        return tf.cast(process.mean(), tf.float32) + head.prior_mean[0], tf.cast(process.variance(), tf.float32)

    (mean, variance), found = through_tfp(inputs), ours(inputs)
    difference = max(np.abs(found.mean - mean).max(), np.abs(found.variance - variance).max())
    if difference > (1e-5 if dtype == tf.float64 else 1e-3):
        raise SystemExit(f"The posterior is off by {difference}.")
    timing = report.alternate(repeated(ours, inputs), repeated(through_tfp, inputs), rounds=rounds, warmup=2)
    return report.compare(
        name=f"posterior, {dtype.name}, off by {difference:.0e} / TFP{', whitened' if whitened else ''}",
        ours=timing.ours.rate(SERVES_A_CALL),
        reference=timing.reference.rate(SERVES_A_CALL),
        unit="requests/s",
        goal=goal,
    )


def examples_against_fewer(rounds: int, *, few: int) -> report.Row:
    """Time of the posterior after more training over that after less."""
    inputs = candidates(64)
    more, less = (tf.function(GaussianPosterior(trained_head(n)).__call__) for n in (10 * few, few))
    timing = report.alternate(repeated(more, inputs), repeated(less, inputs), rounds=rounds, warmup=2)
    return report.compare(
        name=f"posterior, {10 * few:,} examples / {few:,}",
        ours=timing.ours.scaled(1e3 / SERVES_A_CALL),
        reference=timing.reference.scaled(1e3 / SERVES_A_CALL),
        unit="ms",
        goal="<= 1.1",
        ratio=timing.median_of_ratios,
    )


def thompson_against_mean(rounds: int) -> report.Row:
    """Time of a SavedModel's signature that draws over one that gives the calibrated probability."""
    inputs = candidates(FIELDS * WIDTH)
    tower = FlatDNN(UNITS)
    head = GaussianProcessHead(INDUCING, base_rate=0.1, seed=1)
    head(tower(tf.reshape(inputs, [-1, FIELDS, WIDTH])), training=True)
    module = tf.Module()
    module.tower, module.posterior = tower, GaussianPosterior(head)
    rows, seed = tf.TensorSpec([None, FIELDS * WIDTH], tf.float32), tf.TensorSpec([2], tf.int32)

    @tf.function(input_signature=[rows, seed])
    def expected(inputs: Any, seed: Any) -> Any:
        logits = module.posterior(module.tower(tf.reshape(inputs, [-1, FIELDS, WIDTH])))
        return {"p": calibrated_probability(mean=logits.mean, variance=logits.variance)}

    @tf.function(input_signature=[rows, seed])
    def drawn(inputs: Any, seed: Any) -> Any:
        logits = module.posterior(module.tower(tf.reshape(inputs, [-1, FIELDS, WIDTH])))
        return {"p": tf.sigmoid(thompson(mean=logits.mean, variance=logits.variance, seed=seed))}

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"mean": expected, "thompson": drawn})
        served = tf.saved_model.load(folder)
    sides = [
        called(functools.partial(_signature, served.signatures[name], tf.constant([1, 2])), inputs)
        for name in ("thompson", "mean")
    ]
    timing = report.alternate(*sides, rounds=rounds, warmup=2)
    return report.compare(
        name="signature thompson / mean",
        ours=timing.ours.scaled(1e3 / SERVES_A_CALL),
        reference=timing.reference.scaled(1e3 / SERVES_A_CALL),
        unit="ms",
        goal="<= 1.15",
        ratio=timing.median_of_ratios,
    )


def _signature(signature: Any, seed: tf.Tensor, inputs: tf.Tensor) -> Any:
    return signature(inputs=inputs, seed=seed)


def training(batch: int, *, inducing: int | None) -> Callable[[], float]:
    """Builds tower and head, or a logit if `inducing` is `None`; returns a function that runs `STEPS_A_CALL` steps."""
    draw = np.random.default_rng(7)
    batches = [tf.constant(draw.normal(size=(batch, FIELDS, WIDTH)), tf.float32) for _ in range(4)]
    labels = tf.constant(draw.uniform(size=batch) < 0.1, tf.float32)
    tower = FlatDNN(UNITS)
    gaussian = None if inducing is None else GaussianProcessHead(inducing, base_rate=0.1, seed=1)
    plain = keras.layers.Dense(1)
    head = plain if gaussian is None else gaussian
    head(tower(batches[0]), **({} if gaussian is None else {"training": True}))
    variables = tower.trainable_weights + head.trainable_weights
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function
    def step(inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            if gaussian is None:
                loss = binary_cross_entropy(labels=labels, logits=plain(tower(inputs))[:, 0])
            else:
                mean, variance = gaussian(tower(inputs), training=True)
                divergence = gaussian.kl_divergence()
                loss = negative_elbo(
                    labels=labels, mean=mean, variance=variance, divergence=divergence, examples=EXAMPLES
                )
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    position = 0

    def run() -> float:
        nonlocal position
        for _ in range(STEPS_A_CALL):
            loss = step(batches[position % len(batches)])
            position += 1
        return float(loss)

    return run


def step_against_logit(rounds: int, *, batch: int, inducing: int) -> report.Row:
    """Step time with the head over that with a logit."""
    timing = report.alternate(
        training(batch, inducing=inducing), training(batch, inducing=None), rounds=rounds, warmup=2
    )
    return report.compare(
        name=f"step, B {batch:,}, M {inducing} / logit",
        ours=timing.ours.scaled(1e3 / STEPS_A_CALL),
        reference=timing.reference.scaled(1e3 / STEPS_A_CALL),
        unit="ms",
        goal="<= 1.5",
        ratio=timing.median_of_ratios,
    )


def main() -> None:
    options = report.arguments("What the Gaussian-process head costs, in serving and in training.")
    rounds = 1 if options.quick else 31
    measurements = [
        functools.partial(posterior_against_tfp, rounds, dtype=tf.float64, whitened=False, goal=">= 5"),
        functools.partial(posterior_against_tfp, rounds, dtype=tf.float64, whitened=True, goal=">= 5"),
        functools.partial(posterior_against_tfp, rounds, dtype=tf.float32, whitened=True, goal=""),
        functools.partial(examples_against_fewer, rounds, few=2_000 if options.quick else 20_000),
        functools.partial(thompson_against_mean, rounds),
    ]
    measurements += [
        functools.partial(step_against_logit, rounds, batch=batch, inducing=inducing)
        for batch in ((2048,) if options.quick else (2048, 4096))
        for inducing in ((64,) if options.quick else (64, 128, 256))
    ]
    rows = [measure() for measure in tqdm.tqdm(measurements, desc="gaussian process", mininterval=1)]
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
