"""Thompson sampling of a whole slate: one draw of the function for all candidates of a request."""

from __future__ import annotations

import tensorflow as tf


def joint_thompson(*, mean: tf.Tensor, covariance: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """`f^ ~ N(mean, C)`, `f^ = mean + V sqrt(max(D, 0)) z` with `C = V D V^T`.

    Drawn by itself, each of a hundred similar ads is a new chance for a high score; drawn jointly, they rise and fall
    together, and identical ones get identical scores. By eigenvectors and not by a Cholesky factor, because similar ads
    make C singular, and the jitter that a factor needs would tell identical ones apart. Costs `O(C^3)` a request.

    Args:
      mean: `[..., C]`.
      covariance: `[..., C, C]`, of the candidates of each slate; float64 as `GaussianPosterior.covariance` gives it.
      seed: Two integers, `[2]`.

    Returns:
      Scores in logits, `[..., C]`, in the type of `mean`.
    """
    values, vectors = tf.linalg.eigh(covariance)
    noise = tf.random.stateless_normal(tf.shape(values), seed=seed, dtype=values.dtype)
    drawn = tf.linalg.matvec(vectors, tf.sqrt(tf.maximum(values, 0.0)) * noise)
    return mean + tf.cast(drawn, mean.dtype)
