"""Keras' dense layer, with a bias that learns in bfloat16 too."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, takes


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, ..., n]", known="n"))
class Dense(keras.layers.Dense):
    """`act(x W + b)`: `keras.layers.Dense`, except for the gradient of b under mixed_bfloat16.

    Keras adds b by `tf.nn.bias_add`, whose gradient, on a CPU, is summed over the batch in bfloat16: 2,048 ones sum to
    256, since 256 + 1 is 256 in 8 bits. Here b is added by broadcasting, whose gradient is summed in
    float32 and rounded once. In other dtypes this is Keras' layer, operation by operation.

    Call arguments:
      inputs: `[B, ..., n]`, a dense tensor.

    Returns:
      `[B, ..., units]`.

    Args:
      As `keras.layers.Dense`.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the activated outputs."""
        if self.compute_dtype != "bfloat16" or not self.use_bias:
            return super().call(inputs)
        inputs = tf.cast(inputs, self.compute_dtype)
        if inputs.shape.rank == 2:
            outputs = tf.matmul(inputs, self.kernel)
        else:
            outputs = tf.ensure_shape(tf.tensordot(inputs, self.kernel, 1), (*inputs.shape[:-1], self.units))
        return self.activation(outputs + self.bias)
