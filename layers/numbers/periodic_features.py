"""A number by sines and cosines of trained frequencies (Gorishniy et al. 2022; an alternative to [Tencent] §3.2)."""

from __future__ import annotations

import math
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
class PeriodicFeatures(keras.layers.Layer):
    """`e = relu(W [sin(2 pi c x), cos(2 pi c x)] + b)` with k trained frequencies c that start as N(0, sigma).

    The paper's "PLR" embedding. Every number has its own c, W and b; a missing number (NaN) has its own row, which is
    not in the paper. The larger sigma is, the finer are the initially distinguishable steps of x; the paper tunes it
    for each data set, the defaults are our choice. Give standardised numbers.

    Call arguments:
      values: `[B]`, or `[B, n]` for n numbers at once.

    Returns:
      `[B, d]`, or `[B, n, d]`.

    Args:
      width: d.
      frequencies: k.
      sigma: Standard deviation of the initial frequencies, in periods per unit of x.
    """

    def __init__(
        self,
        width: int,
        *,
        frequencies: int = 16,
        sigma: float = 0.1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        # Phases are computed in float32 at least: with 8 bits, a few periods are all noise.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        if frequencies < 1 or sigma <= 0:
            raise ValueError(
                f"PeriodicFeatures needs a frequency and a positive sigma. Received: {frequencies}, {sigma}."
            )
        require_counts("PeriodicFeatures", width=width, frequencies=frequencies)
        self.width = width
        self.frequencies = frequencies
        self.sigma = sigma

    def build(self, input_shape: Any) -> None:
        """Creates, for each of the n numbers, c `[k]`, W `[2k, d]`, b `[d]` and the missing row `[d]`."""
        columns, waves = columns_in(input_shape, layer=self.name), 2 * self.frequencies
        self._frequencies = self.add_weight(
            name="frequencies",
            shape=(columns, self.frequencies),
            initializer=keras.initializers.RandomNormal(0.0, self.sigma),
            experimental_autocast=False,
        )
        spread = (6.0 / (waves + self.width)) ** 0.5
        self._kernel = self.add_weight(
            name="kernel",
            shape=(columns, waves, self.width),
            initializer=keras.initializers.RandomUniform(-spread, spread),
        )
        self._bias = self.add_weight(name="bias", shape=(columns, self.width), initializer="zeros")
        self._missing = add_missing_rows(self, columns=columns, width=self.width)
        super().build(input_shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the fields, `[B, d]` or `[B, n, d]`."""
        numbers = tf.cast(as_columns(values), self._frequencies.dtype)
        known = known_numbers(numbers, limit=LARGEST_NUMBER)[:, :, tf.newaxis]
        phases = 2.0 * math.pi * self._frequencies * known
        waves = tf.cast(tf.concat([tf.sin(phases), tf.cos(phases)], axis=-1), self.compute_dtype)
        linear = tf.einsum("bnk,nkd->bnd", waves, tf.cast(self._kernel, self.compute_dtype))
        return with_missing(tf.nn.relu(linear + tf.cast(self._bias, linear.dtype)), values, self._missing)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"width": self.width, "frequencies": self.frequencies, "sigma": self.sigma}
        return {**super().get_config(), **own}
