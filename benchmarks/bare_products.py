"""The matrix products of a training step and nothing else: the time below which no step of a model can come."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf
import tf_keras as keras


def seconds(model: Any, *, batch: int, steps: int) -> float:
    """Seconds that the products of the given steps take.

    Args:
      model: A built Keras model. Its dense layers' kernels are the matrices; tables and stacked kernels do not count.
      batch: Rows of a batch.
      steps: How many steps.
    """
    kernels = [weight for weight in model.trainable_weights if weight.name.endswith("/kernel:0")]
    if not kernels:
        raise RuntimeError(f"the model has no dense layers to measure: {[w.name for w in model.trainable_weights]}")
    dtype = tf.as_dtype(keras.mixed_precision.global_policy().compute_dtype)
    matrices = [tf.cast(kernel, dtype) for kernel in kernels]
    inputs = [tf.cast(tf.random.stateless_normal([batch, m.shape[0]], seed=(1, 2)), dtype) for m in matrices]
    outputs = [tf.cast(tf.random.stateless_normal([batch, m.shape[1]], seed=(3, 4)), dtype) for m in matrices]

    @tf.function
    def products(matrices: Any, inputs: Any, outputs: Any) -> Any:
        # With the inputs, and in the gradients of inputs and of the matrix.
        return [
            product
            for w, x, dy in zip(matrices, inputs, outputs, strict=True)
            for product in (
                tf.matmul(x, w),
                tf.matmul(dy, w, transpose_b=True),
                tf.matmul(x, dy, transpose_a=True),
            )
        ]

    found = products(matrices, inputs, outputs)
    start = time.perf_counter()
    for _ in range(steps):
        found = products(matrices, inputs, outputs)
    float(tf.cast(found[-1][0, 0], tf.float32))
    return time.perf_counter() - start
