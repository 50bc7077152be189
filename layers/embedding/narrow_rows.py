"""Rows that are narrower than their embedding set, and the maps that bring them to its width."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts


@keras.saving.register_keras_serializable(package="fullrank")
class NarrowRows(keras.layers.Layer):
    """Maps the rows of narrow tables to the width of their set, each table by a matrix of its own.

        e_f = (sum_k w_k r_k) P_t        r_k: rows of table t, of width k < d        P_t: [k, d]

    (Ginart et al. 2019, mixed dimension embeddings.) A table of N rows then has N k + k d numbers in place of N d. All
    its rows lie in a subspace of k dimensions. Pooling comes first, so that a field is mapped once, not every lookup.

    `P_t` starts as k random orthonormal rows times sqrt(d / k): fields are then as large as those of a wide table.

    Call arguments:
      values: `[B, F, k]`, pooled rows.

    Returns:
      `[B, F, d]`.

    Args:
      tables: T, the number of tables.
      narrow: k.
      width: d.
      seed: Seed of the initial matrices; `None` draws from the global generator.
    """

    def __init__(
        self,
        tables: int,
        *,
        narrow: int,
        width: int,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        require_counts("NarrowRows", tables=tables, narrow=narrow, width=width)
        if narrow >= width:
            raise ValueError(f"NarrowRows needs narrow < width. Received: narrow={narrow}, width={width}.")
        self.tables, self.narrow, self.width, self.seed = tables, narrow, width, seed

    def build(self, input_shape: Any) -> None:
        """Creates the matrices, `[T, k, d]`."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.tables, self.narrow, self.width),
            initializer=OrthonormalRows(gain=float(np.sqrt(self.width / self.narrow)), seed=self.seed),
        )
        super().build(input_shape)

    def call(self, values: tf.Tensor, places: tuple[int, ...]) -> tf.Tensor:
        """Returns the fields; `places` are the F tables that they are looked up in, as numbers below T."""
        kernel = self.kernel if places == tuple(range(self.tables)) else tf.gather(self.kernel, places)
        return tf.einsum("bfk,fkd->bfd", values, kernel)

    def of_table(self, values: tf.Tensor, place: int) -> tf.Tensor:
        """The rows of one table, `[..., k]` to `[..., d]`."""
        return tf.tensordot(values, self.kernel[place], 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"tables": self.tables, "narrow": self.narrow, "width": self.width, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="fullrank")
class OrthonormalRows(keras.initializers.Initializer):
    """Draws n stacked matrices `[n, k, d]`, k <= d, each of k random orthonormal rows times `gain`."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        """Draws `[n, k, d]`."""
        number, rows, columns = tf.TensorShape(shape).as_list()
        normal = keras.initializers.RandomNormal(0.0, 1.0, seed=self.seed)
        q, r = tf.linalg.qr(normal((number, columns, rows), dtype=tf.float32))
        signed = q * tf.sign(tf.linalg.diag_part(r))[:, tf.newaxis]
        return tf.cast(self.gain * tf.linalg.matrix_transpose(signed), dtype or keras.backend.floatx())

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"gain": self.gain, "seed": self.seed}
