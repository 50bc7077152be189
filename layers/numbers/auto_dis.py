"""AutoDis: soft buckets, a mixture of meta-embeddings (Guo et al. 2021; an alternative to [Tencent] §3.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.numbers.number_columns import (
    LARGEST_NUMBER,
    add_missing_rows,
    as_columns,
    columns_in,
    known_numbers,
    with_missing,
)


@keras.saving.register_keras_serializable(package="fullrank")
@takes(values=Input("[B] or [B, n]", kind="number", known="n"))
class AutoDis(keras.layers.Layer):
    """Embeds a number by soft buckets that are learned with their embeddings.

    `h = leaky_relu(w x)`, `x~ = W h + alpha h`, `e = sum_k softmax(x~ / tau)_k M_k` with H meta-embeddings `M_k`. Near
    numbers have near embeddings, unlike in buckets with fixed boundaries. Every number has its own weights; a missing
    one (NaN) has its own row, which is not in the paper. `alpha` and `tau` are constants here; their defaults, the
    slope of the leaky ReLU and the initial weights are our choice. Give standardised numbers.

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers at once.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      buckets: H, the meta-embeddings of a number.
      alpha: Share of h that bypasses W.
      temperature: tau; the lower it is, the closer to one bucket per number.
      slope: Slope of the leaky ReLU, below 0.
    """

    def __init__(
        self,
        width: int,
        *,
        buckets: int = 16,
        alpha: float = 0.1,
        temperature: float = 0.2,
        slope: float = 0.1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        # The buckets are found in float32 at least; only the mixture is computed in it.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        if buckets < 2 or temperature <= 0:
            raise ValueError(
                f"AutoDis needs two or more buckets and a positive temperature. Received: {buckets}, {temperature}."
            )
        require_counts("AutoDis", width=width, buckets=buckets)
        self.width = width
        self.buckets = buckets
        self.alpha = alpha
        self.temperature = temperature
        self.slope = slope

    def build(self, input_shape: Any) -> None:
        """Creates, for each of the n numbers, w `[H]`, W `[H, H]`, the meta-embeddings `[H, d]` and the missing row."""
        columns, buckets = columns_in(input_shape, layer=self.name), self.buckets
        spread = (3.0 / buckets) ** 0.5
        uniform = keras.initializers.RandomUniform
        self._first = self.add_weight(
            name="first", shape=(columns, buckets), initializer=uniform(-1.0, 1.0), experimental_autocast=False
        )
        self._second = self.add_weight(
            name="second",
            shape=(columns, buckets, buckets),
            initializer=uniform(-spread, spread),
            experimental_autocast=False,
        )
        self._meta = self.add_weight(
            name="meta", shape=(columns, buckets, self.width), initializer=uniform(-0.05, 0.05)
        )
        self._missing = add_missing_rows(self, columns=columns, width=self.width)
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the mixtures, `[B, d]` or `[B, n, d]`."""
        shares = tf.cast(self.shares(values), self.compute_dtype)
        embedded = tf.einsum("bnh,nhd->bnd", shares, tf.cast(self._meta, self.compute_dtype))
        return with_missing(embedded, values, self._missing)

    def shares(self, values: tf.Tensor) -> tf.Tensor:
        """The share of each bucket in every number, `[B, n, H]` in the weights' type; a missing one counts as 0."""
        numbers = tf.cast(as_columns(values), self._first.dtype)
        known = known_numbers(numbers, limit=LARGEST_NUMBER)[:, :, tf.newaxis]
        hidden = tf.nn.leaky_relu(known * self._first, alpha=self.slope)
        scores = tf.einsum("bnh,nhk->bnk", hidden, self._second) + self.alpha * hidden
        return tf.nn.softmax(scores / self.temperature, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "width": self.width,
            "buckets": self.buckets,
            "alpha": self.alpha,
            "temperature": self.temperature,
            "slope": self.slope,
        }
        return {**super().get_config(), **own}
