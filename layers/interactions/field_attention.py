"""AutoInt: multi-head self-attention between fields (Song et al. 2019; an expert for [Tencent] §4)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class FieldAttention(keras.layers.Layer):
    """Self-attention between fields, in `depth` layers.

    Each layer maps fields E, `[F, n]`, to

        relu([head_1, ..., head_A] + E W_res),   head_a = softmax(E Q_a (E K_a)^T / sqrt(k)) E V_a

    with A heads of width k; the output of a layer has A k dimensions per field, whatever the width of its input.
    AutoInt does not divide by sqrt(k); with `scale=False` neither does this layer. Its embeddings of numbers, its
    dropout and the perceptron of AutoInt+ are left to other layers.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, F A k]`, the concatenated fields of the last layer.

    Args:
      depth: Number of layers.
      heads: A.
      width: k.
      scale: Whether logits are divided by the square root of k.

    Raises:
      ValueError: If a number is below 1.
    """

    def __init__(
        self,
        depth: int = 2,
        *,
        heads: int = 2,
        width: int = 16,
        scale: bool = True,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("FieldAttention", depth=depth, heads=heads, width=width)
        self.depth = depth
        self.heads = heads
        self.width = width
        self.scale = scale
        # Queries, keys, values and residual of all heads are one product.
        self._project = [
            keras.layers.Dense(4 * heads * width, use_bias=False, name=f"project_{layer}", dtype=dtype)
            for layer in range(depth)
        ]

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the concatenated fields of the last layer, `[B, F A k]`."""
        number, wide = fields.shape[1], self.heads * self.width
        for project in self._project:
            projected = tf.reshape(project(fields), (-1, number, 4, self.heads, self.width))
            query, key, value, residual = tf.unstack(tf.transpose(projected, (2, 0, 3, 1, 4)))
            logits = tf.cast(tf.matmul(query, key, transpose_b=True), exact_dtype(fields.dtype))
            if self.scale:
                logits /= self.width**0.5
            attended = tf.matmul(tf.cast(tf.nn.softmax(logits), value.dtype), value)
            fields = tf.reshape(tf.transpose(tf.nn.relu(attended + residual), (0, 2, 1, 3)), (-1, number, wide))
        return tf.reshape(fields, (-1, number * wide))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"depth": self.depth, "heads": self.heads, "width": self.width, "scale": self.scale}
        return {**super().get_config(), **own}
