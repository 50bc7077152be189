"""Fields of examples that share some: one user's fields, which all candidates have in common, are held once."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.layers.dense import Dense


@dataclasses.dataclass(frozen=True)
class SplitFields:
    """The fields `[N, F, d]` of N examples, of which F_1 are the same in all.

    Attributes:
      once: `[1, F_1, d]`, the fields that all examples share.
      each: `[N, F_n, d]`, those of the single examples; F = F_1 + F_n.
      order: For each place on the F axis, the place in `once` and then `each`.
    """

    once: Any
    each: Any
    order: tuple[int, ...]

    @functools.cached_property
    def whole(self) -> tf.Tensor:
        """All fields of all examples, `[N, F, d]`."""
        repeated = repeated_rows(self.once, rows=tf.shape(self.each)[0])
        joined = tf.concat([repeated, self.each], axis=1)
        return joined if self.order == tuple(range(len(self.order))) else tf.gather(joined, self.order, axis=1)

    def with_more(self, more: tf.Tensor) -> SplitFields:
        """These fields, and after them on the F axis others `[N, m, d]` of the single examples."""
        number, added = len(self.order), int(more.shape[1])
        order = (*self.order, *range(number, number + added))
        return SplitFields(self.once, tf.concat([self.each, more], axis=1), order)

    def through(self, dense: Dense) -> tf.Tensor:
        """`act(x W + b)` of the fields side by side, `[N, F d]`: what the shared fields add to it is computed once.

        Args:
          dense: Built, for inputs of width F d.

        Returns:
          `[N, units]`, equal to that of `whole` up to the order of the sums.
        """
        width, number = self.once.shape[2], self.once.shape[1]
        places = np.argsort(self.order)[:, np.newaxis] * width + np.arange(width)
        kernel = tf.cast(dense.kernel, self.each.dtype)
        shared, own = (tf.gather(kernel, rows.reshape(-1)) for rows in (places[:number], places[number:]))
        constant = tf.matmul(tf.reshape(self.once, (1, number * width)), shared)[0]
        if dense.use_bias:
            constant += tf.cast(dense.bias, constant.dtype)
        product = tf.matmul(tf.reshape(self.each, (-1, (len(self.order) - number) * width)), own)
        outputs: tf.Tensor = dense.activation(tf.nn.bias_add(product, constant))
        return outputs


def repeated_rows(values: tf.Tensor, *, rows: tf.Tensor) -> tf.Tensor:
    """The one row of `[1, ...]` as often as there are examples, `[N, ...]`."""
    return tf.broadcast_to(values, tf.concat([[rows], tf.shape(values)[1:]], axis=0))
