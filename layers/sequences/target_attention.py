"""Baselines of [Tencent] §3.1: target attention (DIN), which weights behaviours by an MLP, and the mean."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, exact_dtype, known_places, takes
from fullrank.layers.dense import Dense


@keras.saving.register_keras_serializable(package="fullrank")
@takes(behaviours=Input("[B, L, d]", known="d"), target=Input("[B, d]"), mask=Input("[B, L]", kind="bool"))
class TargetAttention(keras.layers.Layer):
    """`u = sum_i a_i e_i` with `a_i = MLP([e_i, v, e_i - v, e_i * v])`, v the target (DIN, Zhou et al. 2018, Eq. 3).

    As in the paper the weights are not normalised, so that u grows with the number of behaviours that resemble the
    target; `normalise` gives a softmax over the valid behaviours instead. Hidden layers end in PReLUs, with one slope
    per unit that starts at 0.25; the paper's other choice, Dice, needs batch statistics and is left out. The layer uses
    neither position nor time.

    The first hidden layer never forms its input of width 4d. By parts of the input, its kernel gives
    `W_e e + W_v v + W_d (e - v) + W_p (e * v) = (W_e + W_d) e + (W_v - W_d) v + W_p (e * v)`, so that `e - v` needs no
    separate kernel; and `W_p (e * v) = (W_p diag(v)) e`, so that the behaviours of an example are multiplied by one
    kernel, `W_e + W_p diag(v)`, in one product.

    Call arguments:
      behaviours: `[B, L, d]`.
      target: `[B, d]`.
      mask: `[B, L]` bool, true where there is a behaviour; values elsewhere are ignored, NaN included.

    Returns:
      `[B, d]`; zero where there is no behaviour.

    Args:
      hidden: Widths of the MLP's hidden layers, one or more.
      normalise: Whether the weights are a softmax, computed in float32 at least.

    Raises:
      ValueError: If there is no hidden layer.
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 32),
        *,
        normalise: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not hidden:
            raise ValueError(f"TargetAttention needs at least one hidden layer. Received: hidden={hidden}.")
        require_counts("TargetAttention", hidden=tuple(hidden))
        self.hidden = tuple(hidden)
        self.normalise = normalise
        self._of_target = Dense(hidden[0], name="target", dtype=dtype)
        self._deeper = [Dense(n, name=f"dense_{i}", dtype=dtype) for i, n in enumerate(hidden[1:], 1)]
        self._bends = [
            keras.layers.PReLU(keras.initializers.Constant(0.25), shared_axes=[1], name=f"prelu_{i}", dtype=dtype)
            for i in range(len(hidden))
        ]
        # A bias has no effect on a softmax.
        self._score = Dense(1, use_bias=not normalise, name="score", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Creates the first layer's kernels of behaviour and product; the target's is in a separate layer."""
        shape = (int(input_shape[-1]), self.hidden[0])
        self._of_behaviour = self.add_weight(name="behaviour", shape=shape, initializer="glorot_uniform")
        self._of_product = self.add_weight(name="product", shape=shape, initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the interest in the target, `[B, d]`."""
        target, behaviours = tf.cast(target, behaviours.dtype), known_places(behaviours, mask)
        weights = tf.cast(self._weights(behaviours, target, mask), behaviours.dtype)
        return tf.matmul(weights[:, tf.newaxis], behaviours)[:, 0]

    def of_targets(self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the interest of one user in many targets, `[N, d]`, as `call` does for N copies of the behaviours.

        A behaviour has the kernel `K_l = (W_v - W_d) + diag(e_l) W_p` for targets, so that the first layer of all pairs
        is one product of the targets with kernels that depend on the user alone. A PReLU is
        `s x + (1 - s) max(x, 0)`, and what is linear in x is multiplied by the next layer's kernel before x is formed:
        of the L x N pairs only maxima are taken, which the runtime does within its products. Needs `build`.

        Args:
          behaviours: `[1, L, d]`.
          target: `[N, d]`.
          mask: `[1, L]`.
        """
        target, known = tf.cast(target, behaviours.dtype), known_places(behaviours, mask)[0]
        scores = self._scores_of_pairs(known, target)
        scores = tf.cast(scores, exact_dtype(self.compute_dtype))
        if self.normalise:
            scores = tf.nn.softmax(tf.where(mask, scores, tf.constant(-1e9, scores.dtype)), axis=1)
        return tf.matmul(tf.cast(known_places(scores, mask), behaviours.dtype), known)

    def _scores_of_pairs(self, behaviours: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Scores `[N, L]` of behaviours `[L, d]` and targets `[N, d]`."""
        dtype = behaviours.dtype
        weights = (self._of_behaviour, self._of_product, self._of_target.kernel)
        of_behaviour, of_product, of_target = (tf.cast(weight, dtype) for weight in weights)
        # [d, L, h] and [L, h]: a behaviour's affine map of the target.
        kernels = of_target[:, tf.newaxis] + tf.transpose(behaviours)[:, :, tf.newaxis] * of_product[:, tf.newaxis]
        constants = tf.matmul(behaviours, of_behaviour) + tf.cast(self._of_target.bias, dtype)
        hidden = _affine(target, kernels, constants)
        for number, (dense, bend) in enumerate(zip([*self._deeper, self._score], self._bends, strict=True)):
            kernel, slopes = tf.cast(dense.kernel, dtype), tf.cast(bend.alpha[0], dtype)[:, tf.newaxis]
            if number == 0:
                # The maxima are taken before the reshape, where the runtime does it within the product.
                kernels, constants = (tf.tensordot(part, slopes * kernel, 1) for part in (kernels, constants))
                if dense.use_bias:
                    constants += tf.cast(dense.bias, dtype)
                straight = tf.reshape(_affine(target, kernels, constants), (-1, kernel.shape[1]))
                maxima = tf.reshape(tf.nn.relu(hidden), (-1, kernel.shape[0]))
            else:
                straight, maxima = tf.matmul(hidden, slopes * kernel), tf.nn.relu(hidden)
                if dense.use_bias:
                    straight += tf.cast(dense.bias, dtype)
            hidden = tf.matmul(maxima, (1.0 - slopes) * kernel) + straight
        return tf.reshape(hidden, (tf.shape(target)[0], tf.shape(behaviours)[0]))

    def _weights(self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Weights `[B, L]`, 0 where there is no behaviour."""
        kernels = self._of_behaviour + target[:, :, tf.newaxis] * self._of_product
        hidden = tf.matmul(behaviours, kernels) + self._of_target(target)[:, tf.newaxis]
        hidden = self._bends[0](hidden)
        for dense, bend in zip(self._deeper, self._bends[1:], strict=True):
            hidden = bend(dense(hidden))
        scores = tf.cast(self._score(hidden)[:, :, 0], exact_dtype(self.compute_dtype))
        if self.normalise:
            scores = tf.nn.softmax(tf.where(mask, scores, tf.constant(-1e9, scores.dtype)), axis=1)
        return known_places(scores, mask)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "hidden": self.hidden, "normalise": self.normalise}


@keras.saving.register_keras_serializable(package="fullrank")
@takes(behaviours=Input("[B, L, d]"), mask=Input("[B, L]", kind="bool"))
class SequenceMean(keras.layers.Layer):
    """`u = (1 / n) sum_i e_i` over the n valid behaviours; zero if there is none.

    Call arguments:
      behaviours: `[B, L, d]`.
      mask: `[B, L]` bool, true where there is a behaviour; values elsewhere are ignored, NaN included.

    Returns:
      `[B, d]`.
    """

    def call(self, behaviours: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the mean, `[B, d]`."""
        valid = tf.cast(mask, behaviours.dtype)[:, tf.newaxis]
        # Counted as integers: bfloat16 does not count beyond 256.
        number = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True), 1)
        return tf.matmul(valid, known_places(behaviours, mask))[:, 0] / tf.cast(number, behaviours.dtype)

    def get_config(self) -> dict[str, Any]:
        """No arguments of its own."""
        return dict(super().get_config())


def _affine(target: tf.Tensor, kernels: tf.Tensor, constants: tf.Tensor) -> tf.Tensor:
    """`v K_l + c_l` for targets `[N, d]`, kernels `[d, L, h]` and constants `[L, h]`: `[N, L h]`."""
    product = tf.matmul(target, tf.reshape(kernels, (kernels.shape[0], -1)))
    return tf.nn.bias_add(product, tf.reshape(constants, [-1]))
