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
        return self._placed(tf.concat([repeated, self.each], axis=1))

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
        width, number = self.each.shape[2], self.each.shape[1]
        kernel = tf.cast(dense.kernel, self.each.dtype)
        # One row is multiplied faster by the whole kernel than the rows of its fields are collected.
        alone = tf.pad(self.once, [[0, 0], [0, number], [0, 0]])
        constant = tf.matmul(tf.reshape(self._placed(alone), (1, len(self.order) * width)), kernel)[0]
        if dense.use_bias:
            constant += tf.cast(dense.bias, constant.dtype)
        places = np.argsort(self.order)[len(self.order) - number :, np.newaxis] * width + np.arange(width)
        own = tf.gather(kernel, places.reshape(-1))
        product = tf.matmul(tf.reshape(self.each, (-1, number * width)), own)
        outputs: tf.Tensor = dense.activation(tf.nn.bias_add(product, constant))
        return outputs

    def _placed(self, fields: tf.Tensor) -> tf.Tensor:
        """Fields in the order of `once` and then `each`, put in their places on the F axis."""
        in_place = self.order == tuple(range(len(self.order)))
        return fields if in_place else tf.gather(fields, self.order, axis=1)


def repeated_rows(values: tf.Tensor, *, rows: tf.Tensor) -> tf.Tensor:
    """The one row of `[1, ...]` as often as there are examples, `[N, ...]`."""
    # A gather copies whole rows, several times as fast as TensorFlow broadcasts.
    return tf.gather(values, tf.zeros([rows], tf.int32))
