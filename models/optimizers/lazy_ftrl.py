"""FTRL-Proximal on looked-up rows."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.models.optimizers import base


@keras.saving.register_keras_serializable(package="fullrank")
class LazyFtrl(base.SparseOptimizer):
    """FTRL-Proximal (McMahan et al. 2013, Algorithm 1) that reads and writes looked-up rows only.

    The paper, for one weight w with gradient g, learning rate alpha, and n = z = 0 at the start:

        sigma = (sqrt(n + g^2) - sqrt(n)) / alpha
        z <- z + g - sigma w
        n <- n + g^2
        w <- 0                                                          if |z| <= l1
        w <- (sign(z) l1 - z) / ((beta + sqrt(n)) / alpha + l2)         otherwise

    z and n of a row that the batch does not name stay as they are, and so does w, which the paper computes from them.

    Departures, each chosen so that embeddings train:

    * Stored is Z = alpha z. For a constant alpha that is the paper. For a schedule it keeps what earlier steps did: the
      paper's z holds sums of 1/alpha of *their* time, so that after a warm-up from a small alpha every weight would be
      multiplied by the growth of alpha. With l1 = l2 = 0 and a tiny beta this is Adagrad, under any schedule.
    * The paper computes w from (z, n) alone, so a randomly initialised row would be forgotten at its first lookup (and
      an interaction model would be left at the saddle point of zero rows). By default a weight with n = 0 starts from
      the z of which its current value is the solution, -w (beta / alpha + l2) - sign(w) l1; `keep_initial=False` is the
      paper. A table of zeros trains the same in both.
    * beta is 1 in the paper, whose g is the gradient of one example. Here g comes from a loss that is a mean over a
      batch and is thousands of times smaller, so beta is only an epsilon by default.
    * l2 multiplies w as in the paper; `keras.optimizers.Ftrl` multiplies it by 2.

    State: two tensors `[N, d]` for a table `[N, d]`.

    Args:
      learning_rate: alpha, a float or a schedule; default 0.05.
      beta: Default 1e-8, must be > 0.
      l1: Strength of the L1 penalty, >= 0; default 0.
      l2: Strength of the L2 penalty, >= 0; default 0.
      keep_initial: Whether never-trained weights keep their initial value as a starting point; default True.
      name: Default "lazy_ftrl".
      clipnorm: As in `SparseOptimizer`, like the arguments after it.
      clipvalue: Largest absolute value of an element.
      global_clipnorm: Largest norm over all variables.
      weight_decay: Rejected; use l2.
      use_ema: Rejected.
    """

    def __init__(
        self,
        learning_rate: Any = 0.05,
        *,
        beta: float = 1e-8,
        l1: float = 0.0,
        l2: float = 0.0,
        keep_initial: bool = True,
        name: str = "lazy_ftrl",
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
        use_ema: bool = False,
    ):
        base.require("LazyFtrl", "beta", beta, above=0.0)
        base.require("LazyFtrl", "l1", l1, least=0.0)
        base.require("LazyFtrl", "l2", l2, least=0.0)
        super().__init__(
            name=name,
            learning_rate=learning_rate,
            slots=(base.Slot("scaled_linear"), base.Slot("squares")),
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            weight_decay=weight_decay,
            use_ema=use_ema,
        )
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.keep_initial = keep_initial

    def updated(self, gradient: Any, weights: Any, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """See the class; the state is Z = alpha z and n, `[u, d]` each."""
        linear, squares = state
        alpha = tf.cast(self.learning_rate, weights.dtype)
        threshold, shrinkage = alpha * self.l1, alpha * self.l2 + self.beta
        if self.keep_initial:
            start = -weights * shrinkage - tf.sign(weights) * threshold
            linear = tf.where(squares > 0.0, linear, start)
        root = tf.sqrt(squares)
        squares += tf.square(gradient)
        new_root = tf.sqrt(squares)
        linear += alpha * gradient - (new_root - root) * weights
        solution = (tf.sign(linear) * threshold - linear) / (shrinkage + new_root)
        return tf.where(tf.abs(linear) <= threshold, tf.zeros_like(solution), solution), (linear, squares)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"beta": self.beta, "l1": self.l1, "l2": self.l2, "keep_initial": self.keep_initial}
        return {**super().get_config(), **own}
