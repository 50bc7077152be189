"""What stands at masked places of a sequence is nothing: neither a value nor a gradient of it goes anywhere."""

from __future__ import annotations

import tensorflow as tf


def known_places(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Values where the mask is true, 0 elsewhere, whatever stands there: 0 times NaN would be NaN.

    The gradient at a masked place is exactly 0.

    Args:
      values: `[..., L]` or `[..., L, d]`.
      mask: `[..., L]` bool.
    """
    if values.shape.rank == mask.shape.rank + 1:
        mask = mask[..., tf.newaxis]
    return tf.where(mask, values, tf.zeros([], values.dtype))
