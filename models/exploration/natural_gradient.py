"""Natural-gradient steps for the posterior of a Gaussian-process head, of which far fewer are needed than of Adam's."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import tensorflow as tf

from fullrank.layers import GaussianProcessHead
from fullrank.layers.uncertainty.covariance_kernels import prior_variance
from fullrank.layers.uncertainty.gauss_hermite import gaussian_expectation


class Expected(NamedTuple):
    """Expectations of a likelihood over logits `f ~ N(mean, variance)`, each of the shape of the logits.

    Attributes:
      log_likelihood: `E log p(y | f)`.
      slope: `E d log p / df`, its derivative with respect to the mean.
      curvature: `-E d^2 log p / df^2`, minus twice its derivative with respect to the variance; not negative.
    """

    log_likelihood: tf.Tensor
    slope: tf.Tensor
    curvature: tf.Tensor


class Likelihood(Protocol):
    """Takes mean and variance of the logits, `[..., N]` float64."""

    def __call__(self, *, mean: tf.Tensor, variance: tf.Tensor) -> Expected:
        """Returns the expectations."""


class NaturalParameters(NamedTuple):
    """`q(w) = N(v, P^-1)` of the whitened values at the inducing points.

    Attributes:
      shift: `P v`, `[T, M]`.
      precision: P, `[T, M, M]`.
    """

    shift: tf.Tensor
    precision: tf.Tensor


def binomial(*, clicks: tf.Tensor, shows: tf.Tensor) -> Likelihood:
    """`log p = clicks f - shows softplus(f)`: clicks out of shows at each input, by quadrature.

    Equal inputs may be counted together; with one show it is the Bernoulli likelihood. Zero shows have no effect.

    Args:
      clicks: `[..., N]`.
      shows: Of the same shape.
    """
    k, n = tf.cast(clicks, tf.float64), tf.cast(shows, tf.float64)

    def expected(*, mean: tf.Tensor, variance: tf.Tensor) -> Expected:
        def of_logit(f: tf.Tensor) -> tf.Tensor:
            p = tf.sigmoid(f)
            return tf.stack([tf.math.softplus(f), p, p * (1.0 - p)])

        softplus, rate, spread = tf.unstack(gaussian_expectation(of_logit, mean=mean, variance=variance))
        return Expected(k * mean - n * softplus, k - n * rate, n * spread)

    return expected


def gaussian(*, values: tf.Tensor, noise_variance: float) -> Likelihood:
    """`y = f + N(0, noise_variance)`, for which one step of size 1 gives the exact process.

    Args:
      values: y, `[..., N]`.
      noise_variance: Positive.
    """
    y = tf.cast(values, tf.float64)

    def expected(*, mean: tf.Tensor, variance: tf.Tensor) -> Expected:
        squares = tf.square(y - mean) + variance
        constant = math.log(2.0 * math.pi * noise_variance)
        return Expected(
            -0.5 * (squares / noise_variance + constant),
            (y - mean) / noise_variance,
            tf.ones_like(mean) / noise_variance,
        )

    return expected


def natural_step(
    now: NaturalParameters, *, rows: tf.Tensor, mean: tf.Tensor, expected: Expected, size: float, scale: float = 1.0
) -> NaturalParameters:
    """One natural-gradient step on the ELBO, `lambda <- (1 - size) lambda + size (lambda_prior + sum_i sites)`.

    In the mean parameters the gradient of the ELBO is the difference between these two sides (Khan and Lin 2017), so a
    step is an average: the precision stays positive definite for every size up to 1, and with a Gaussian likelihood a
    step of size 1 gives the solution. A site adds `curvature a a^T` to the precision, and `(slope + curvature mean) a`
    to the shift.

    Args:
      now: The present natural parameters.
      rows: a, `[T, N, M]`, the whitened kernel rows `L^-1 k_zx`.
      mean: `a^T v` without the prior's mean, `[T, N]`.
      expected: Expectations of the likelihood under the present q.
      size: Between 0 and 1.
      scale: Number of examples in the data divided by those in `rows`, for steps on batches.
    """
    weighted = rows * expected.curvature[..., tf.newaxis]
    precision = tf.eye(rows.shape[-1], dtype=rows.dtype) + scale * tf.matmul(weighted, rows, transpose_a=True)
    shift = scale * tf.linalg.matvec(rows, expected.slope + expected.curvature * mean, transpose_a=True)
    return NaturalParameters((1.0 - size) * now.shift + size * shift, (1.0 - size) * now.precision + size * precision)


def fit_posterior(
    head: GaussianProcessHead,
    *,
    inputs: tf.Tensor,
    likelihood: Likelihood,
    steps: int = 30,
    tolerance: float = 1e-6,
) -> list[float]:
    """Fits q of a built head to data by natural-gradient steps; kernel, adapter and inducing points do not change.

    Steps begin with size 1 and are halved where the ELBO would fall, so it rises in every step. They end when its
    relative gain is below `tolerance`. A step costs `O(N M^2 + M^3)` in float64. Call it outside a `tf.function`.

    Args:
      head: A built head.
      inputs: All of the data, `[N, U]` or `[N, T, U]`.
      likelihood: Likelihood of the logits `[T, N]`; `[N]` is accepted for one task.
      steps: Maximum number of steps.
      tolerance: See above.

    Returns:
      The ELBO before the first step and after each step taken, summed over tasks.
    """
    rows, residual = _whitened_rows(head, inputs)
    prior_mean = tf.cast(head.prior_mean, tf.float64)[:, tf.newaxis]

    def evaluated(natural: NaturalParameters) -> tuple[float, tf.Tensor, Expected]:
        factor = tf.linalg.cholesky(natural.precision)
        location = tf.linalg.cholesky_solve(factor, natural.shift[..., tf.newaxis])[..., 0]
        mean = tf.linalg.matvec(rows, location)
        spread = tf.linalg.triangular_solve(factor, tf.linalg.matrix_transpose(rows))
        expected = likelihood(mean=mean + prior_mean, variance=residual + tf.reduce_sum(tf.square(spread), axis=-2))
        inverse = tf.linalg.triangular_solve(
            factor, tf.eye(rows.shape[-1], batch_shape=rows.shape[:1], dtype=rows.dtype)
        )
        logarithm = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)))
        squares = tf.reduce_sum(tf.square(inverse)) + tf.reduce_sum(tf.square(location))
        divergence = 0.5 * (squares - float(math.prod(location.shape))) + logarithm
        return float(tf.reduce_sum(expected.log_likelihood) - divergence), mean, expected

    location, scale = (tf.cast(value, tf.float64) for value in head.variational())
    precision = tf.linalg.cholesky_solve(scale, tf.eye(scale.shape[-1], batch_shape=scale.shape[:1], dtype=scale.dtype))
    natural = NaturalParameters(tf.linalg.matvec(precision, location), precision)
    bound, mean, expected = evaluated(natural)
    bounds, size = [bound], 1.0
    for _ in range(steps):
        tried = natural_step(natural, rows=rows, mean=mean, expected=expected, size=size)
        bound, tried_mean, tried_expected = evaluated(tried)
        if not bound > bounds[-1]:
            size *= 0.5
            if size < 1e-3:
                break
            continue
        natural, mean, expected = tried, tried_mean, tried_expected
        bounds.append(bound)
        if bound - bounds[-2] < tolerance * max(1.0, abs(bound)):
            break
    _assign(head, natural)
    return bounds


def _whitened_rows(head: GaussianProcessHead, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`a = L^-1 k_zx` `[T, N, M]` and `k_xx - |a|^2` `[T, N]`, float64."""
    x, points = tf.cast(head.adapted(inputs), tf.float64), tf.cast(head.inducing(), tf.float64)
    rows = tf.matmul(head.covariance_function().matrix(x, points), head.whitening(), transpose_b=True)
    theta = head.hyperparameters()
    prior = prior_variance(x, amplitude=theta["amplitude"], slope=theta.get("slope"))
    return rows, tf.maximum(prior - tf.reduce_sum(tf.square(rows), axis=-1), 0.0)


def _assign(head: GaussianProcessHead, natural: NaturalParameters) -> None:
    factor = tf.linalg.cholesky(natural.precision)
    unit = tf.eye(factor.shape[-1], batch_shape=factor.shape[:1], dtype=factor.dtype)
    location = tf.linalg.cholesky_solve(factor, natural.shift[..., tf.newaxis])[..., 0]
    head.assign_variational(location=location, scale=tf.linalg.cholesky(tf.linalg.cholesky_solve(factor, unit)))
