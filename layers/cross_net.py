"""CrossNet V2 (DCN V2), the collapse-resilient interaction that Tencent §4.4 deploys, on TFRS's `Cross`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fullrank.layers.legacy_keras import keras, tfrs


@keras.saving.register_keras_serializable(package="fullrank")
class CrossNetV2(keras.layers.Layer):
    """Explicit crosses of growing order: `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`, with `x_0 = [e_1, ..., e_F]`.

    The block of `W_l` that links two fields is the projection of Tencent §4.4, one a field pair:
    `f(e_i, e_j) = (e_i W_{F(i)->F(j)}) * e_j`.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, F d]`.

    Args:
      depth: Number of cross layers.
      projection_dim: Rank of `W_l = U_l V_l`; `None` for a full matrix.
    """

    def __init__(
        self,
        depth: int = 3,
        *,
        projection_dim: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if depth < 1:
            raise ValueError(f"depth must be at least 1. Received: {depth}.")
        self.depth = depth
        self.projection_dim = projection_dim
        self._crosses = [
            tfrs.layers.feature_interaction.Cross(
                projection_dim=projection_dim, kernel_initializer="glorot_uniform", name=f"cross_{i}", dtype=dtype
            )
            for i in range(depth)
        ]

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the last cross, `[B, F d]`."""
        x0 = tf.reshape(fields, (-1, fields.shape[1] * fields.shape[2]))
        x = x0
        for cross in self._crosses:
            x = cross(x0, x)
        return x

    @property
    def first_kernels(self) -> list[tf.Variable]:
        """`W_0` as a matrix `[F d, F d]`, or its factors `[F d, r]` and `[r, F d]`; empty before the layer is built.

        It multiplies from the right, `x W`: the rows of field i and the columns of field j are W_{F(i)->F(j)}.
        """
        return [weight for weight in self._crosses[0].trainable_weights if weight.shape.rank == 2]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "depth": self.depth, "projection_dim": self.projection_dim}
