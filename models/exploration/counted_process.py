"""A Gaussian process over few distinct inputs, by natural-gradient steps on clicks ([Tencent] §6.4, Appendix A.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.special
import tensorflow as tf

from fullrank.models.exploration.policies import POLICIES, joint_thompson

Floats = npt.NDArray[np.float64]
_NODES, _WEIGHTS = (np.asarray(each, np.float64) for each in np.polynomial.hermite_e.hermegauss(20))
_MOST_STEPS: Final = 50
_TOLERANCE: Final = 1e-4
_STEP: Final = 0.7


class CountedProcess:
    """`f ~ GP(m, K)` at C cells, such as every ad in every segment; `y_c ~ Binomial(n_c, sigma(f_c))`.

    The counts of a cell are a sufficient statistic of its examples, so the cost does not grow with them: O(D^3) for the
    D cells that were shown. q(f) is Gaussian with a diagonal pseudo-likelihood, whose natural parameters are moved to
    the maximum of the evidence lower bound (conjugate-computation variational inference, Khan and Lin 2017):

        beta_c = n_c E s'(f_c),   z_c = m_c + (y_c - n_c E s(f_c)) / beta_c,
        q(f) = GP posterior of the observations z with variances 1 / beta,

    with expectations under q by Gauss-Hermite quadrature. Adam steps on q, as for a head that is trained with a
    network, leave variances too wide for a policy that relies on them.

    Attributes:
      mean: Mean of f, `[C]`.
      variance: Variance of f, `[C]`.

    Args:
      covariance: K, `[C, C]`.
      prior_mean: m, the logit of the base rate.

    Raises:
      ValueError: If K is not square.
    """

    def __init__(self, covariance: Floats, *, prior_mean: float) -> None:
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
            raise ValueError(f"CountedProcess needs a covariance [C, C]. Received: shape {covariance.shape}.")
        self._prior, self._prior_mean = np.asarray(covariance, np.float64), prior_mean
        number = len(covariance)
        self.shown, self.clicks = np.zeros(number), np.zeros(number)
        self.mean: Floats = np.full(number, prior_mean)
        self.variance: Floats = np.diag(self._prior).copy()
        self._factor: Any = None
        self._seen = np.zeros(0, np.int64)

    def observe(self, cells: npt.NDArray[np.int64], clicks: npt.NDArray[Any]) -> None:
        """Adds examples, `[B]` cells with labels 0 or 1, and moves q to its optimum."""
        self.shown += np.bincount(cells, minlength=len(self.shown))
        self.clicks += np.bincount(cells, weights=np.asarray(clicks, np.float64), minlength=len(self.shown))
        seen = np.flatnonzero(self.shown)
        prior = self._prior[np.ix_(seen, seen)]
        mean, variance = self.mean[seen], self.variance[seen]
        shown, clicked = self.shown[seen], self.clicks[seen]
        for _ in range(_MOST_STEPS):
            expected, slope = _expectations(mean, variance)
            precision = np.maximum(shown * slope, 1e-12)
            pulled = mean - self._prior_mean + (clicked - shown * expected) / precision
            factor = scipy.linalg.cho_factor(prior + np.diag(1 / precision), lower=True)
            weights = scipy.linalg.cho_solve(factor, pulled)
            following = self._prior_mean + prior @ weights
            reduced = np.einsum("ij,ji->i", prior, scipy.linalg.cho_solve(factor, prior))
            variance = np.maximum(np.diag(prior) - reduced, 1e-9)
            change = np.abs(following - mean).max()
            mean = _STEP * following + (1 - _STEP) * mean
            if change < _TOLERANCE:
                break
        across = self._prior[:, seen]
        self._seen, self._factor = seen, factor
        self.mean = self._prior_mean + across @ weights
        reduced = np.einsum("ij,ji->i", across, scipy.linalg.cho_solve(factor, across.T))
        self.variance = np.maximum(np.diag(self._prior) - reduced, 1e-9)

    @property
    def probability(self) -> Floats:
        """`[C]`: the calibrated probability of a click, `E s(f)`."""
        return _expectations(self.mean, self.variance)[0]

    def covariance(self, cells: npt.NDArray[np.int64]) -> Floats:
        """Covariance of f at the cells of each slate, `[R, S]` to `[R, S, S]`."""
        prior = self._prior[cells[:, :, np.newaxis], cells[:, np.newaxis, :]]
        if self._factor is None:
            return prior
        lower = scipy.linalg.solve_triangular(self._factor[0], self._prior[self._seen], lower=True)
        shown = np.moveaxis(lower[:, cells], 0, -1)
        found: Floats = prior - shown @ np.swapaxes(shown, 1, 2)
        return found


def _expectations(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """`E s(f)` and `E s'(f)` of the sigmoid s under `N(mean, variance)`."""
    f = mean[:, np.newaxis] + np.sqrt(variance)[:, np.newaxis] * _NODES
    s = scipy.special.expit(f)
    weights = _WEIGHTS / _WEIGHTS.sum()
    return s @ weights, (s * (1.0 - s)) @ weights


Scores = Callable[[CountedProcess, npt.NDArray[np.int64], tf.Tensor], npt.NDArray[np.float64]]


def scores_of(policy: str, *, epsilon: float) -> Scores:
    """How a policy scores.

    Args:
      policy: A name of `POLICIES`, or `joint_thompson`.
      epsilon: Epsilon of `epsilon_greedy`.

    Returns:
      A function of the process, of cells `[R, C]` (the candidates of each request), and of a seed, two integers; it
      returns scores `[R, C]` in logits.
    """
    if policy == "joint_thompson":

        def joint(process: CountedProcess, cells: npt.NDArray[np.int64], seed: tf.Tensor) -> npt.NDArray[np.float64]:
            drawn = joint_thompson(
                mean=tf.constant(process.mean[cells]), covariance=tf.constant(process.covariance(cells)), seed=seed
            )
            return np.asarray(drawn.numpy(), np.float64)

        return joint
    chosen: Any = POLICIES[policy]
    if policy == "epsilon_greedy":
        chosen = functools.partial(chosen, epsilon=epsilon)

    def alone(process: CountedProcess, cells: npt.NDArray[np.int64], seed: tf.Tensor) -> npt.NDArray[np.float64]:
        mean, variance = (tf.constant(each[cells], tf.float32) for each in (process.mean, process.variance))
        return np.asarray(chosen(mean=mean, variance=variance, seed=seed).numpy(), np.float64)

    return alone
