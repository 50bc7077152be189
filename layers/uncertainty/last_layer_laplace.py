"""A logistic last layer with uncertainty: Laplace's approximation of its posterior (for [Tencent] §6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.mixture.towers import GlorotOfEach
from fullrank.layers.replicas import replicas
from fullrank.layers.uncertainty.stable_cholesky import SMALLEST_JITTER, cholesky
from fullrank.layers.uncertainty.task_logits import (
    GaussianLogits,
    by_example,
    checked_base_rate,
    float32_weight,
    prior_logits,
    task_axis,
)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, U] or [B, T, U]", known="T U"))
class LastLayerLaplace(keras.layers.Layer):
    """`f = m + w^T x~`, `w ~ N(w_MAP, H^-1)`, `H = lambda I + sum_i p_i (1 - p_i) x~_i x~_i^T`, where x~ is x and a 1.

        mean = m + w_MAP^T x~,   variance = x~^T H^-1 x~

    A cheaper relative of `GaussianProcessHead`, not in the paper: a Bayesian linear logit on top of a network that is
    assumed to be known, so its variance grows with the norm of x, not with the distance from the data. `w_MAP` is
    trained as any logit is, with `prior_penalty() / N` in the loss. Afterwards one pass of `accumulate` over the data
    builds H and `refresh` inverts it; until then the variance is the prior's, `|x~|^2 / lambda`. For online learning,
    call both as data arrive: a `decay` below 1 forgets old batches.

    Each of T tasks has its own w and H.

    Call arguments:
      inputs: `[B, U]`, or `[B, T, U]`.

    Returns:
      `GaussianLogits` of `[B]` or `[B, T]`, float32.

    Args:
      base_rate: Share of positives, whose logit is m; one, or one per task.
      prior_precision: lambda, positive.
      decay: Factor that the sum is multiplied by when a batch is accumulated.
      use_bias: Whether x~ has the 1; if not, it is x.
    """

    def __init__(
        self,
        *,
        base_rate: float | Sequence[float] = 0.5,
        prior_precision: float = 1.0,
        decay: float = 1.0,
        use_bias: bool = True,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if prior_precision <= 0.0 or not 0.0 < decay <= 1.0:
            raise ValueError(
                "LastLayerLaplace needs prior_precision > 0 and 0 < decay <= 1. "
                f"Received: {prior_precision} and {decay}."
            )
        self.base_rate = checked_base_rate(base_rate)
        self.prior_precision = prior_precision
        self.decay = decay
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
        """Creates w `[T, U + 1]`, the sums in H, and the factors of H^-1."""
        self._several, tasks, width = task_axis("LastLayerLaplace", input_shape)
        self._prior_mean = prior_logits(self.base_rate, tasks=tasks)
        self._kernel = self._state("kernel", (tasks, width, 1), GlorotOfEach(), trainable=True)
        self._bias = (
            self._state("bias", (tasks, 1, 1), keras.initializers.Zeros(), trainable=True) if self.use_bias else None
        )
        size = width + self.use_bias
        prior = np.broadcast_to(np.eye(size) * self.prior_precision**-0.5, (tasks, size, size))
        self._sum = self._state("sum", (tasks, size, size), keras.initializers.Zeros())
        self._whitening = self._state("whitening", (tasks, size, size), keras.initializers.Constant(prior))
        super().build(input_shape)

    def _state(self, name: str, shape: tuple[int, ...], initializer: Any, *, trainable: bool = False) -> tf.Variable:
        # Replicas add their parts of the batch to the sum.
        added = tf.VariableAggregation.SUM if name == "sum" else tf.VariableAggregation.ONLY_FIRST_REPLICA
        return float32_weight(self, name, shape, initializer, trainable=trainable, aggregation=added)

    def _extended(self, inputs: tf.Tensor) -> tf.Tensor:
        """x~, `[T, B, U + 1]` float32."""
        x = tf.cast(inputs, tf.float32)
        x = tf.transpose(x, (1, 0, 2)) if self._several else x[tf.newaxis]
        return tf.concat([x, tf.ones_like(x[..., :1])], axis=-1) if self.use_bias else x

    def call(self, inputs: tf.Tensor) -> GaussianLogits:
        """Returns mean and variance of the logit."""
        x = self._extended(inputs)
        variance = tf.reduce_sum(tf.square(tf.matmul(x, self._whitening, transpose_b=True)), axis=-1)
        return GaussianLogits(mean=by_example(self._mean(x), inputs), variance=by_example(variance, inputs))

    def _mean(self, x: tf.Tensor) -> tf.Tensor:
        weights = self._kernel if self._bias is None else tf.concat([self._kernel, self._bias], axis=1)
        return tf.matmul(x, weights)[..., 0] + tf.constant(self._prior_mean, tf.float32)[:, tf.newaxis]

    def prior_penalty(self) -> tf.Tensor:
        """`lambda |w|^2 / 2`, minus the prior's log density up to a constant; a scalar, or `[T]`.

        Divide it by N in the objective.
        """
        squares = tf.reduce_sum(tf.square(self._kernel), axis=[1, 2])
        if self._bias is not None:
            squares += tf.reduce_sum(tf.square(self._bias), axis=[1, 2])
        penalty = 0.5 * self.prior_precision * squares
        return penalty if self._several else penalty[0]

    def accumulate(
        self, inputs: tf.Tensor, *, weights: tf.Tensor | None = None, decay: float | tf.Tensor | None = None
    ) -> None:
        """Adds a batch to H.

        Args:
          inputs: `[B, U]`, or `[B, T, U]`.
          weights: Sample weights, `[B]`, or `[B, T]` of each task's labels, 0 where not observed; ones if `None`.
          decay: Factor that the sum is multiplied by, a scalar or `[T]`; the layer's own if `None`.
        """
        x = self._extended(inputs)
        probability = tf.sigmoid(self._mean(x))
        curvature = probability * (1.0 - probability)
        if weights is not None:
            curvature *= tf.transpose(tf.cast(weights, tf.float32))  # [B], or [T, B]
        added = tf.matmul(x * curvature[..., tf.newaxis], x, transpose_a=True)
        kept = tf.reshape(tf.cast(self.decay if decay is None else decay, tf.float32), [-1, 1, 1])
        # Each replica adds its own rows, and its share of what is forgotten.
        self._sum.assign_add(added - (1.0 - kept) * self._sum / replicas())

    def refresh(self) -> None:
        """Updates the variance from the accumulated batches."""
        precision = tf.cast(self._sum, tf.float64)
        unit = tf.eye(precision.shape[-1], batch_shape=[precision.shape[0]], dtype=tf.float64)
        factor = cholesky(precision + self.prior_precision * unit, jitter=1e-6 * SMALLEST_JITTER)
        self._whitening.assign(tf.cast(tf.linalg.triangular_solve(factor, unit), tf.float32))

    def reset(self) -> None:
        """Discards the accumulated batches, before a new pass over the data."""
        self._sum.assign(tf.zeros_like(self._sum))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "base_rate": self.base_rate,
            "prior_precision": self.prior_precision,
            "decay": self.decay,
            "use_bias": self.use_bias,
        }
        return {**super().get_config(), **own}
