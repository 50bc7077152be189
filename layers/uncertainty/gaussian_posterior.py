"""The precomputed posterior of a trained Gaussian-process head; serving costs one kernel row ([Tencent] §6.4)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.layers.uncertainty.covariance_kernels import (
    RBF_KERNELS,
    covariance_kernel,
    cross_covariance,
    extended_inputs,
    extended_points,
)
from fullrank.layers.uncertainty.gaussian_process import Adapter, GaussianProcessHead
from fullrank.layers.uncertainty.task_logits import GaussianLogits, by_example


class GaussianPosterior(tf.Module):
    """Computes the outputs of a `GaussianProcessHead` without its Cholesky factor, for serving in a SavedModel.

    The head's variance is `k_xx - a^T (I - S S^T) a` with `a = L^-1 k_zx`. With U and p the eigenvectors and
    eigenvalues of `I - S S^T`, an example costs its kernel row, one product with the stored `W = L^-T U`, and two
    weighted sums:

        c = k_xz W,   mean = m + sum_i b_i c_i,   variance = k_xx - sum_i p_i c_i^2,   b = U^T v

    W b is the `alpha = K_zz^-1 (E u - m)` of textbooks, and `W diag(p) W^T` the matrix of their quadratic form;
    multiplied out, its entries cancel, so that in float32 the error of a variance exceeds the variance.

    It holds copies of the head's weights, so that further training does not change part of an output; `refresh` updates
    them without a new trace.

    Args:
      head: A built head.
      dtype: Type of the product with W. Distances are always float64, outputs float32.

    Raises:
      ValueError: If the head is not built.
    """

    def __init__(self, head: GaussianProcessHead, *, dtype: tf.DType = tf.float64) -> None:
        super().__init__(name="gaussian_posterior")
        if not head.built:
            raise ValueError(f"GaussianPosterior needs a head that was built by a call. Received: {head.name!r}.")
        self.dtype = dtype
        self._kernel_name, self._normalize = head.kernel, head.normalize
        self._prior_mean = head.prior_mean[:, tf.newaxis]
        self._kept = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in _posterior(head, dtype).items()
        }

    def refresh(self, head: GaussianProcessHead) -> None:
        """Copies the learned weights of the head; call it outside a `tf.function`.

        Args:
          head: A head with the same arguments and shapes.
        """
        for name, value in _posterior(head, self.dtype).items():
            self._kept[name].assign(value)

    def __call__(self, inputs: tf.Tensor) -> GaussianLogits:
        """Returns mean and variance of the logits, float32; inputs are `[B, U]` or `[B, T, U]` as for the head."""
        x, projected = self._projected(inputs)
        prior = tf.convert_to_tensor(self._kept["variance"])
        if "slope" in self._kept:
            prior += tf.square(self._kept["slope"])[:, tf.newaxis] * tf.reduce_sum(tf.square(x), axis=-1)
        # Sums instead of products with a vector, which cost more for few rows.
        reduced = tf.reduce_sum(tf.square(projected) * self._kept["reduction"], axis=-1)
        variance = tf.maximum(tf.cast(prior, tf.float64) - tf.cast(reduced, tf.float64), 1e-6 * prior)
        mean = tf.cast(tf.reduce_sum(projected * self._kept["location"], axis=-1), tf.float32)
        return GaussianLogits(
            mean=by_example(mean + self._prior_mean, inputs),
            variance=by_example(tf.cast(variance, tf.float32), inputs),
        )

    def covariance(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the covariance of the logits of each request's candidates, for joint draws.

        Args:
          inputs: `[R, C, U]`: R requests with C candidates each; `[R, C, T, U]` for several tasks.

        Returns:
          `[R, C, C]`, or `[T, R, C, C]`; float64.
        """
        shape = tf.shape(inputs)
        flat = tf.reshape(inputs, [-1, *inputs.shape[2:]])
        x, projected = self._projected(flat)
        slates = tf.concat([[x.shape[0]], shape[:2], [-1]], axis=0)
        x, projected = tf.reshape(x, slates), tf.reshape(tf.cast(projected, tf.float64), slates)
        # One batch of the kernel per request.
        theta = {name: value[:, tf.newaxis] for name, value in self._hyperparameters().items()}
        prior = covariance_kernel(self._kernel_name, **theta).matrix(x, x)
        weighted = projected * tf.cast(self._kept["reduction"], tf.float64)[:, tf.newaxis]
        covariance = prior - tf.matmul(weighted, projected, transpose_b=True)
        return covariance if inputs.shape.rank == 4 else covariance[0]

    def _projected(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Adapted inputs x `[T, B, D]` float64, and c `[T, B, M]`."""
        adapter = Adapter(self._kept["adapter"], self._kept["adapter_bias"], self._normalize)
        x = tf.cast(adapter(tf.cast(inputs, self._kept["adapter"].dtype)), tf.float64)
        if self._kernel_name in RBF_KERNELS:
            near = extended_inputs(x, inverse_length_scale=self._kept["inverse_length_scale"])
            row = tf.exp(tf.cast(tf.matmul(near, self._kept["extended"], transpose_b=True), self.dtype))
            if "slope" in self._kept:
                slope = tf.square(self._kept["slope"])[:, tf.newaxis, tf.newaxis]
                row += tf.cast(tf.matmul(x * slope, self._kept["inducing"], transpose_b=True), self.dtype)
        else:
            row = cross_covariance(self._kernel_name, x, self._kept["inducing"], **self._hyperparameters())
        return x, tf.matmul(tf.cast(row, self.dtype), self._kept["projection"])

    def _hyperparameters(self) -> dict[str, tf.Tensor]:
        return {
            name: tf.convert_to_tensor(self._kept[name])
            for name in ("amplitude", "length_scale", "slope")
            if name in self._kept
        }


def _posterior(head: GaussianProcessHead, dtype: tf.DType) -> dict[str, tf.Tensor]:
    """The parts of a head that serving needs: adapter, kernel and points, and q in terms of eigenvectors.

    Everything that depends only on weights is computed here, because with a hundred candidates each small op matters.
    """
    location, scale = (tf.cast(value, tf.float64) for value in head.variational())
    unit = tf.eye(head.inducing_points, dtype=tf.float64)
    values, vectors = tf.linalg.eigh(unit - tf.matmul(scale, scale, transpose_b=True))
    adapter, theta, inducing = head.adapter(), head.hyperparameters(), tf.cast(head.inducing(), tf.float64)
    inverse = tf.math.reciprocal(theta["length_scale"])[:, tf.newaxis, tf.newaxis]
    return {
        "adapter": tf.cast(adapter.kernel, head.compute_dtype),
        "adapter_bias": tf.cast(adapter.bias, head.compute_dtype),
        "inducing": inducing,
        "extended": extended_points(inducing, amplitude=theta["amplitude"], inverse_length_scale=inverse),
        "inverse_length_scale": inverse,
        "variance": tf.square(theta["amplitude"])[:, tf.newaxis],
        "projection": tf.cast(tf.matmul(head.whitening(), vectors, transpose_a=True), dtype),
        "reduction": tf.cast(values, dtype)[:, tf.newaxis],
        "location": tf.cast(tf.matmul(location[:, tf.newaxis], vectors), dtype),
        **theta,
    }
