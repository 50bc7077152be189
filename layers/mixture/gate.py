"""The gates, which weight the experts for each task ([Tencent] §2, §5.1)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.dense import Dense

Access = tuple[tuple[str, ...], ...]
OFF, DETACHED, TRAIN = "off", "detached", "train"


@keras.saving.register_keras_serializable(package="fullrank")
@takes(experts=Input("[B, E, H]"), inputs=Input("[B, m] or [B, T, m]", known="m", optional=True))
class Gate(keras.layers.Layer):
    """Mixes expert outputs for every task at once: `r_t = sum_e g_te E_e`.

    `g_t = softmax_e(W_t s_t + b_t)` over the experts that task t may read, where `s_t` is the gate's input; with
    `kind="shared"`, W and b are the same for all tasks (OMoE); with `kind="mean"`, `g_te` is one over their number (the
    plain mean of the published multi-embedding code). The papers leave the gate's input open; `Ranker` uses the field
    means of all sets, of which a task reads and trains only those that its access permits.

    Each task's access to each expert is `off` (weight exactly zero), `detached` (read, but the task's gradient does not
    pass to the expert) or `train`.

    Call arguments:
      experts: `[B, E, H]`.
      inputs: Inputs of the gates: `[B, m]`, or `[B, T, m]` if each reads its own input; unused (may be `None`) for
        `kind="mean"`.

    Returns:
      `[B, T, H]`.

    Args:
      access: T rows of E entries; equal ones for `kind="shared"`.
      kind: `softmax`, `shared` or `mean`.
    """

    def __init__(
        self,
        access: Access,
        *,
        kind: str = "softmax",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.access = tuple(tuple(row) for row in access)
        self.kind = kind
        if kind not in ("softmax", "shared", "mean"):
            raise ValueError(f"A gate is 'softmax', 'shared' or 'mean'. Received: {kind!r}.")
        entries = {entry for row in self.access for entry in row}
        if not entries <= {OFF, DETACHED, TRAIN} or len({len(row) for row in self.access}) != 1:
            raise ValueError(f"access needs rows of equal length of 'off', 'detached', 'train'. Received: {access}.")
        if any(all(entry == OFF for entry in row) for row in self.access):
            raise ValueError(f"Every task must read at least one expert. Received: {access}.")
        if kind == "shared" and len(set(self.access)) != 1:
            raise ValueError(f"A gate that all tasks share needs equal rows of access. Received: {access}.")
        self._gated = kind != "mean" and len(self.access[0]) > 1
        self._rows = 1 if kind == "shared" else len(self.access)
        self._linear = Dense(self._rows * len(self.access[0]), name="linear", dtype=dtype)

    def build(self, input_shape: Any) -> None:
        """Checks that there is an expert for each entry of a row of access."""
        if input_shape[1] not in (None, len(self.access[0])):
            raise ValueError(
                f"Gate {self.name!r} has access to {len(self.access[0])} experts, [B, E, H]. Received: {input_shape}."
            )
        super().build(input_shape)

    def weights_of(self, inputs: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
        """The mixing weights `[B, T, E]` in float32, or float64 under that policy; a row sums to 1."""
        exact = exact_dtype(self.compute_dtype)
        readable = tf.constant([[entry != OFF for entry in row] for row in self.access])
        if not self._gated:
            even = tf.cast(readable, exact)
            even /= tf.reduce_sum(even, axis=1, keepdims=True)
            return tf.tile(even[tf.newaxis], [batch, 1, 1])
        if inputs is None or (inputs.shape.rank == 3 and inputs.shape[1] not in (None, len(self.access))):
            raise ValueError(
                f"Gate {self.name!r} takes inputs [B, m], or [B, T, m] for T = {len(self.access)} tasks. "
                f"Received: {None if inputs is None else inputs.shape}."
            )
        of_each = inputs.shape.rank == 3
        scores = tf.cast(self._scores_of_each(inputs) if of_each else self._scores(inputs), exact)
        return tf.nn.softmax(tf.where(readable, scores, tf.constant(-float("inf"), exact)), axis=-1)

    def _scores(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.reshape(self._linear(inputs), (-1, self._rows, len(self.access[0])))

    def _scores_of_each(self, inputs: tf.Tensor) -> tf.Tensor:
        if not self._linear.built:
            self._linear(inputs[:, 0])
        shape = (-1, self._rows, len(self.access[0]))
        kernel, bias = (tf.cast(tf.reshape(weight, shape), self.compute_dtype) for weight in self._linear.weights)
        if self._rows == 1:
            kernel = tf.tile(kernel, [1, len(self.access), 1])
        return tf.einsum("btm,mte->bte", tf.cast(inputs, self.compute_dtype), kernel) + bias

    def call(self, experts: tf.Tensor, inputs: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the representation of each task, `[B, T, H]`."""
        weights = tf.cast(self.weights_of(inputs, tf.shape(experts)[0]), experts.dtype)
        detached = tf.constant([[entry == DETACHED for entry in row] for row in self.access])
        if not any(DETACHED in row for row in self.access):
            return tf.matmul(weights, experts)
        zero = tf.zeros([], weights.dtype)
        trained = tf.matmul(tf.where(detached, zero, weights), experts)
        return trained + tf.matmul(tf.where(detached, weights, zero), tf.stop_gradient(experts))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "access": self.access, "kind": self.kind}
