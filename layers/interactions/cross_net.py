"""CrossNet V2 (DCN V2), the collapse-resilient interaction that [Tencent] §4.4 deploys."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense
from fullrank.layers.split_fields import SplitFields


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class CrossNetV2(keras.layers.Layer):
    """Explicit crosses of growing order: `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`, with `x_0 = [e_1, ..., e_F]`.

    The block of `W_l` that links two fields is the projection of [Tencent] §4.4, one per field pair:
    `f(e_i, e_j) = (e_i W_{F(i)->F(j)}) * e_j`.

    In float32 it equals a stack of TFRS's `Cross`, which we do not use because it gives its products the dtype of their
    variables: under mixed_bfloat16 they stay in float32, and take twice the time.

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
        require_counts("CrossNetV2", depth=depth, projection_dim=1 if projection_dim is None else projection_dim)
        self.depth = depth
        self.projection_dim = projection_dim
        self._crosses = [_Cross(projection_dim=projection_dim, name=f"cross_{i}", dtype=dtype) for i in range(depth)]

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the last cross, `[B, F d]`."""
        x0 = tf.reshape(fields, (-1, fields.shape[1] * fields.shape[2]))
        x = x0
        for cross in self._crosses:
            x = cross(x0, x)
        return x

    def of_split(self, fields: SplitFields) -> tf.Tensor:
        """Returns what `call` does for `fields.whole`; the first product is split. Needs `build`."""
        whole = fields.whole
        x0 = tf.reshape(whole, (-1, whole.shape[1] * whole.shape[2]))
        x = self._crosses[0].of_split(x0, fields)
        for cross in self._crosses[1:]:
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


class _Cross(keras.layers.Layer):
    """One cross, `x_0 * (W x + b) + x`: `[B, n]` twice in, `[B, n]` out."""

    def __init__(self, *, projection_dim: int | None, name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._projection_dim = projection_dim

    def build(self, input_shape: Any) -> None:
        """Adds W, or U and V, and b."""
        policy, width = self.dtype_policy, int(input_shape[-1])
        rank = self._projection_dim
        self._inner = None if rank is None else Dense(rank, use_bias=False, name="u", dtype=policy)
        self._outer = Dense(width, name="w" if rank is None else "v", dtype=policy)
        super().build(input_shape)

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Returns the cross of x_0 and x."""
        inner = x if self._inner is None else self._inner(x)
        return x0 * self._outer(inner) + x

    def of_split(self, x0: tf.Tensor, fields: SplitFields) -> tf.Tensor:
        """Returns the cross of x_0 with itself, `fields` being x_0 in parts."""
        crossed = fields.through(self._outer) if self._inner is None else self._outer(fields.through(self._inner))
        return x0 * crossed + x0
