"""The Gaussian-process head: a click's logit with its uncertainty ([Tencent] §6.4, Appendix A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from fullrank.layers.checks.arguments import derived_seed, require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.groups.k_means import k_means, random_rows
from fullrank.layers.legacy_keras import keras
from fullrank.layers.mixture.towers import GlorotOfEach
from fullrank.layers.uncertainty.covariance_kernels import (
    KERNELS,
    KernelName,
    covariance_kernel,
    cross_covariance,
    prior_variance,
)
from fullrank.layers.uncertainty.stable_cholesky import (
    SMALLEST_JITTER,
    UnitTriangle,
    batched_product,
    inverse_cholesky,
    positive_triangle,
    triangle_weight,
)
from fullrank.layers.uncertainty.task_logits import (
    GaussianLogits,
    by_example,
    checked_base_rate,
    float32_weight,
    prior_logits,
    task_axis,
)
from fullrank.layers.uncertainty.whitened_moments import whitened_moments


class Adapter(NamedTuple):
    """`x = normalised(W h + b)`.

    Attributes:
      kernel: W, `[T, U, D]`.
      bias: b, `[T, 1, D]`.
      normalize: Whether x is scaled to norm 1.
    """

    kernel: tf.Tensor
    bias: tf.Tensor
    normalize: bool

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns x, `[T, B, D]` float32, of inputs `[B, U]` or `[B, T, U]` in the type of the kernel."""
        inputs = tf.expand_dims(inputs, 0) if inputs.shape.rank == 2 else tf.transpose(inputs, (1, 0, 2))
        x = batched_product(inputs, self.kernel)
        x = tf.cast(x + self.bias, tf.float32)
        return tf.math.l2_normalize(x, axis=-1, epsilon=1e-6) if self.normalize else x


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, U] or [B, T, U]", known="T U"))
class GaussianProcessHead(keras.layers.Layer):
    """A deep kernel and a sparse variational Gaussian process on it, in place of a logit.

        x = normalised(W h + b),   f ~ GP(m, k_theta),   y ~ Ber(sigma(f(x)))                        (A.1.1)
        q(f(x)) = N(m + a^T v,  k_xx - a^T (I - S S^T) a),   a = L^-1 k_zx,   L L^T = K_zz + jitter

    z are M inducing points, and `u = m + L w` the values of f there, with `q(w) = N(v, S S^T)` and the prior
    `w ~ N(0, I)` (whitened): `KL = (|S|^2 + |v|^2 - M - 2 sum log diag S) / 2`. Train it with
    `models.objectives.negative_elbo`. A step costs `O(B M^2 + M^3)`, regardless of the number of examples.

    The paper gives the exact process ([Tencent] Eq. 8) and its parts; sparse approximation, adapter and defaults are
    ours. It takes m = 0; ours is the logit of the base rate, because with 0 an unseen ad would be expected to have a
    click rate of 1/2.

    Kernels are those of TensorFlow Probability, and `distribution` gives the same process as its object. The few lines
    above are written out because TFP computes in one type throughout: here `K_zz` and its factor are in float64, which
    they need, and products with the batch in float32. Each of T tasks has its own process; all are computed at once.

    With `training=True` the first batch places the inducing points, by k-means on its x.

    Call arguments:
      inputs: `[B, U]`, the output of a tower, or `[B, T, U]`.

    Returns:
      `GaussianLogits` of `[B]` or `[B, T]`, float32 whatever the compute dtype.

    Args:
      inducing_points: M.
      base_rate: Share of positives, between 0 and 1; one, or one per task. The prior's mean is its logit.
      features: Width D of x.
      kernel: `rbf`, `matern_1_2`, `matern_3_2`, `matern_5_2` or `linear_rbf`.
      amplitude: Initial value of the prior's standard deviation of f; it is trained.
      length_scale: Initial value of the distance over which f changes; it is trained, and x has norm 1.
      normalize: Whether x is scaled to norm 1, so that the length scale keeps its meaning while W is trained.
      jitter: The first jitter tried, relative to the kernel's variance; see `stable_cholesky`.
      k_means_steps: Iterations of k-means at the start; 0 takes random rows of the batch.
      seed: Seed of the initial values and of k-means; `None` draws from TensorFlow's global generator.
    """

    def __init__(
        self,
        inducing_points: int,
        *,
        base_rate: float | Sequence[float],
        features: int = 32,
        kernel: KernelName = "rbf",
        amplitude: float = 1.0,
        length_scale: float = 0.5,
        normalize: bool = True,
        jitter: float = SMALLEST_JITTER,
        k_means_steps: int = 10,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if inducing_points < 1 or features < 1:
            raise ValueError(
                f"GaussianProcessHead needs inducing_points and features >= 1. Received: {inducing_points}, {features}."
            )
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}. Received: {kernel!r}.")
        if amplitude <= 0.0 or length_scale <= 0.0 or jitter <= 0.0:
            raise ValueError(
                "amplitude, length_scale and jitter must be positive. "
                f"Received: {amplitude}, {length_scale} and {jitter}."
            )
        require_counts("GaussianProcessHead", inducing_points=inducing_points, features=features)
        self.inducing_points = inducing_points
        self.base_rate = checked_base_rate(base_rate)
        self.features = features
        self.kernel = kernel
        self.amplitude = amplitude
        self.length_scale = length_scale
        self.normalize = normalize
        self.jitter = jitter
        self.k_means_steps = k_means_steps
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Creates adapter, kernel, inducing points `[T, M, D]` and q: `v` `[T, M]` and `S` `[T, M, M]`."""
        self._several, tasks, width = task_axis("GaussianProcessHead", input_shape)
        self._prior_mean = prior_logits(self.base_rate, tasks=tasks)
        size, normal = self.inducing_points, keras.initializers.RandomNormal
        self._adapter = self.add_weight(name="adapter", shape=(tasks, width, self.features), initializer=GlorotOfEach())
        self._adapter_bias = self.add_weight(name="adapter_bias", shape=(tasks, 1, self.features), initializer="zeros")
        self._inducing = self._full(
            "inducing",
            (tasks, size, self.features),
            normal(stddev=self.features**-0.5, seed=derived_seed(self.seed, "inducing")),
        )
        # Not 0: with v = 0 and S = I, adapter, kernel and inducing points would get no gradient.
        self._location = self._full(
            "location", (tasks, size), normal(stddev=0.05, seed=derived_seed(self.seed, "location"))
        )
        self._scale = self._full("scale", (tasks, size, size), UnitTriangle())
        self._amplitude = self._positive("amplitude", tasks, self.amplitude)
        self._length_scale = self._positive("length_scale", tasks, self.length_scale)
        self._slope = self._positive("slope", tasks, self.amplitude) if self.kernel == "linear_rbf" else None
        self._started = float32_weight(
            self,
            "started",
            (),
            keras.initializers.Zeros(),
            trainable=False,
            aggregation=tf.VariableAggregation.MEAN,
        )
        super().build(input_shape)

    def _full(self, name: str, shape: tuple[int, ...], initializer: Any) -> tf.Variable:
        return float32_weight(self, name, shape, initializer, trainable=True)

    def _positive(self, name: str, tasks: int, value: float) -> tf.Variable:
        """A weight whose softplus is `value`."""
        return self._full(name, (tasks,), keras.initializers.Constant(value + math.log(-math.expm1(-value))))

    @property
    def prior_mean(self) -> tf.Tensor:
        """`m`, `[T]` float32, with T = 1 for inputs `[B, U]`."""
        return tf.constant(self._prior_mean, tf.float32)

    def hyperparameters(self, dtype: tf.DType = tf.float64) -> dict[str, tf.Tensor]:
        """theta: `amplitude`, `length_scale` and, for `linear_rbf`, `slope`, each `[T]`."""
        weights = {"amplitude": self._amplitude, "length_scale": self._length_scale, "slope": self._slope}
        return {name: tf.math.softplus(tf.cast(w, dtype)) for name, w in weights.items() if w is not None}

    def covariance_function(self) -> Any:
        """`k_theta` as a kernel of TensorFlow Probability, with a batch of T; float64."""
        return covariance_kernel(self.kernel, **self.hyperparameters())

    def adapter(self) -> Adapter:
        """The adapter, which computes x from the inputs."""
        return Adapter(self._adapter, self._adapter_bias, self.normalize)

    def adapted(self, inputs: tf.Tensor) -> tf.Tensor:
        """x, `[T, B, D]` float32, of inputs `[B, U]` (T = 1) or `[B, T, U]`."""
        return self.adapter()(tf.cast(inputs, self.compute_dtype))

    def inducing(self) -> tf.Tensor:
        """z, `[T, M, D]` float32."""
        return tf.convert_to_tensor(self._inducing)

    def variational(self) -> tuple[tf.Tensor, tf.Tensor]:
        """`v` `[T, M]` and `S` `[T, M, M]`, lower triangular with a positive diagonal; float32."""
        return tf.convert_to_tensor(self._location), positive_triangle(self._scale)

    def assign_variational(self, *, location: tf.Tensor, scale: tf.Tensor) -> None:
        """Sets q directly, for `models.exploration.fit_posterior`, which uses no optimiser.

        Args:
          location: `v`, `[T, M]`, of any floating type.
          scale: `S`, `[T, M, M]`, lower triangular with a positive diagonal.
        """
        self._location.assign(tf.cast(location, tf.float32))
        self._scale.assign(tf.cast(triangle_weight(scale), tf.float32))

    def whitening(self, dtype: tf.DType = tf.float64) -> tf.Tensor:
        """Returns `L^-1`, `[T, M, M]`, computed in float64 and cast to a type."""
        return inverse_cholesky(self._covariance(), jitter=self.jitter, dtype=dtype)

    def _covariance(self) -> tf.Tensor:
        """`K_zz`, `[T, M, M]` float64."""
        points = tf.cast(self._inducing, tf.float64)
        return cross_covariance(self.kernel, points, points, **self.hyperparameters())

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> GaussianLogits:
        """Returns mean and variance of the posterior logit."""
        x = self.adapted(inputs)
        if training and self.trainable:
            self._start(tf.stop_gradient(x))
        theta = self.hyperparameters(tf.float32)
        location, scale = self.variational()
        row = cross_covariance(self.kernel, x, self.inducing(), **theta)
        own = cross_covariance(self.kernel, self.inducing(), self.inducing(), **theta)
        mean, explained = whitened_moments(row, own, location, scale, exact=self._covariance(), jitter=self.jitter)
        mean += self.prior_mean[:, tf.newaxis]
        prior = prior_variance(x, amplitude=theta["amplitude"], slope=theta.get("slope"))
        # Rounding must not make it negative.
        variance = tf.maximum(prior - explained, 1e-6 * prior)
        mean, variance = by_example(mean, inputs), by_example(variance, inputs)
        return GaussianLogits(mean=mean, variance=variance)

    def kl_divergence(self) -> tf.Tensor:
        """`KL(q(u) || p(u))`: a scalar, or `[T]`. The objective divides it by the number of examples."""
        location, scale = self.variational()
        diagonal = tf.linalg.diag_part(scale)
        squares = tf.reduce_sum(tf.square(scale), axis=[1, 2]) + tf.reduce_sum(tf.square(location), axis=1)
        divergence = 0.5 * (squares - self.inducing_points) - tf.reduce_sum(tf.math.log(diagonal), axis=1)
        return divergence if self._several else divergence[0]

    def distribution(self, inputs: tf.Tensor) -> Any:
        """The same process of `f - m` at inputs, as a `tfd.VariationalGaussianProcess` with a batch of T; float64.

        It leaves out m because TFP's whitened form counts the divergence from a prior without a mean.
        """
        from fullrank.layers.legacy_keras import tfp

        points = tf.cast(self._inducing, tf.float64)
        location, scale = self.variational()
        whitening = self.whitening()
        return tfp.distributions.VariationalGaussianProcess(
            self.covariance_function(),
            index_points=tf.cast(self.adapted(inputs), tf.float64),
            inducing_index_points=points,
            variational_inducing_observations_loc=tf.cast(location, tf.float64),
            variational_inducing_observations_scale=tf.cast(scale, tf.float64),
            observation_noise_variance=tf.constant(0.0, tf.float64),
            use_whitening_transform=True,
            cholesky_fn=lambda _: tf.linalg.inv(whitening),
        )

    def _start(self, x: tf.Tensor) -> None:
        """Places the inducing points by k-means on x of the first batch that is not empty; does nothing afterwards."""

        def start() -> tf.Tensor:
            places = self._random_rows(tf.shape(x)[1])
            means = [k_means(rows, tf.gather(rows, places), steps=self.k_means_steps) for rows in tf.unstack(x)]
            return tf.stack(means) - self._inducing

        due = tf.logical_and(tf.equal(self._started, 0.0), tf.shape(x)[1] > 0)
        self._inducing.assign_add(tf.cond(due, start, lambda: tf.zeros_like(self._inducing)))
        self._started.assign(tf.where(due, 1.0, self._started))

    def _random_rows(self, batch: tf.Tensor) -> tf.Tensor:
        """Returns M row numbers below `batch`, distinct if there are enough rows."""
        seed = (
            tf.constant([self.seed, 0])
            if self.seed is not None
            else tf.random.uniform([2], maxval=2**30, dtype=tf.int32)
        )
        return random_rows(batch, number=self.inducing_points, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "inducing_points": self.inducing_points,
            "base_rate": self.base_rate,
            "features": self.features,
            "kernel": self.kernel,
            "amplitude": self.amplitude,
            "length_scale": self.length_scale,
            "normalize": self.normalize,
            "jitter": self.jitter,
            "k_means_steps": self.k_means_steps,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}
