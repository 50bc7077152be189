"""A Gaussian process in random Fourier features, with Laplace's approximation, for [Tencent] §6.4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import derived_seed, require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.uncertainty.last_layer_laplace import LastLayerLaplace
from fullrank.layers.uncertainty.task_logits import GaussianLogits, float32_weight, task_axis


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, U] or [B, T, U]", known="T U"))
class RandomFeatureGP(keras.layers.Layer):
    """`f = m + phi(x)^T beta`, `phi_r(x) = a sqrt(2 / R) cos(<omega_r, x> / l + b_r)`, `beta ~ N(0, I)`.

    With omega from N(0, I) and b from U(0, 2 pi), `E phi(x)^T phi(x') = a^2 exp(-|x - x'|^2 / 2 l^2)`, so f
    approximates a process with an RBF kernel, the better the larger R. Its posterior is `LastLayerLaplace`'s on phi, as
    in SNGP (Liu et al. 2020): a step costs `O(B R U)` and no factor of a matrix. It is not in the paper: a cheaper
    relative of `GaussianProcessHead`. Far from all data the variance returns to a^2, up to the error of the features;
    the length scale is not trained.

    After training, `accumulate` over the data and `refresh`, as for `LastLayerLaplace`; `prior_penalty() / N` belongs
    in the loss.

    Each of T tasks has its own features and posterior.

    Call arguments:
      inputs: `[B, U]`, or `[B, T, U]`.

    Returns:
      `GaussianLogits` of `[B]` or `[B, T]`, float32.

    Args:
      features: R.
      base_rate: Share of positives, whose logit is m; one, or one per task.
      amplitude: a, the prior's standard deviation.
      length_scale: l, in the units of x; x has norm 1 if `normalize`.
      normalize: Whether inputs are scaled to norm 1.
      decay: Factor that the accumulated sum is multiplied by at each batch.
      seed: Seed of the features, which are drawn once; `None` draws from TensorFlow's global generator.
    """

    def __init__(
        self,
        features: int,
        *,
        base_rate: float | Sequence[float],
        amplitude: float = 1.0,
        length_scale: float = 0.5,
        normalize: bool = True,
        decay: float = 1.0,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if features < 1 or amplitude <= 0.0 or length_scale <= 0.0:
            raise ValueError(
                "RandomFeatureGP needs features >= 1, amplitude > 0 and length_scale > 0. "
                f"Received: {features}, {amplitude} and {length_scale}."
            )
        require_counts("RandomFeatureGP", features=features)
        self.features = features
        self.amplitude = amplitude
        self.length_scale = length_scale
        self.normalize = normalize
        self.decay = decay
        self.seed = seed
        # It checks the base rate.
        self._last = LastLayerLaplace(
            base_rate=base_rate, decay=decay, use_bias=False, name="last", dtype=dtype, trainable=trainable
        )

    def build(self, input_shape: Any) -> None:
        """Draws omega `[T, U, R]` and b `[T, R]`."""
        _, tasks, width = task_axis("RandomFeatureGP", input_shape)
        # With the same seed, phases would be correlated with frequencies.
        normal, uniform = (
            keras.initializers.RandomNormal(stddev=1.0, seed=derived_seed(self.seed, "frequencies")),
            keras.initializers.RandomUniform(0.0, 2.0 * math.pi, seed=derived_seed(self.seed, "phases")),
        )
        self._frequencies = float32_weight(self, "frequencies", (tasks, width, self.features), normal, trainable=False)
        self._phases = float32_weight(self, "phases", (tasks, self.features), uniform, trainable=False)
        super().build(input_shape)

    def fourier_features(self, inputs: tf.Tensor) -> tf.Tensor:
        """phi, `[B, R]` or `[B, T, R]`, float32: cosines of large angles do not tolerate low precision."""
        x = tf.cast(inputs, tf.float32)
        x = tf.math.l2_normalize(x, axis=-1, epsilon=1e-6) if self.normalize else x
        if x.shape.rank == 2:
            projected = tf.matmul(x, self._frequencies[0])
        else:
            projected = tf.transpose(tf.matmul(tf.transpose(x, (1, 0, 2)), self._frequencies), (1, 0, 2))
        phases = self._phases[0] if x.shape.rank == 2 else self._phases
        return self.amplitude * math.sqrt(2.0 / self.features) * tf.cos(projected / self.length_scale + phases)

    def call(self, inputs: tf.Tensor) -> GaussianLogits:
        """Returns mean and variance of the logit."""
        logits: GaussianLogits = self._last(self.fourier_features(inputs))
        return logits

    def prior_penalty(self) -> tf.Tensor:
        """`|beta|^2 / 2`, a scalar or `[T]`. Divide it by N in the objective."""
        return self._last.prior_penalty()

    def accumulate(
        self, inputs: tf.Tensor, *, weights: tf.Tensor | None = None, decay: float | tf.Tensor | None = None
    ) -> None:
        """Adds a batch to the posterior's precision.

        Args:
          inputs: `[B, U]`, or `[B, T, U]`.
          weights: Sample weights, `[B]`, or `[B, T]` of each task's labels, 0 where not observed; ones if `None`.
          decay: Factor that earlier batches are multiplied by, a scalar or `[T]`; the layer's own if `None`.
        """
        self._last.accumulate(self.fourier_features(inputs), weights=weights, decay=decay)

    def refresh(self) -> None:
        """Updates the variance from the accumulated batches."""
        self._last.refresh()

    def reset(self) -> None:
        """Discards the accumulated batches, before a new pass over the data."""
        self._last.reset()

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "features": self.features,
            "base_rate": self._last.base_rate,
            "amplitude": self.amplitude,
            "length_scale": self.length_scale,
            "normalize": self.normalize,
            "decay": self.decay,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}
