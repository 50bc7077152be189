"""Group structure learning: an autoencoder whose quantised code joins its input ([Meta] §3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.dense import Dense
from fullrank.layers.groups.residual_quantizer import ResidualQuantizer


class GroupStructure(NamedTuple):
    """The output of `GroupStructureLearning` for a batch.

    Attributes:
      output: `[B, D + d]`, the input followed by its groups.
      codes: `[B, Q]` int32, the groups' numbers, coarse to fine.
      loss: `[B]` float32, reconstruction and commitment, to be weighted, averaged and added to the objective.
      reconstruction: `[B]` float32, the loss of the reconstruction alone, without gradient.
      errors: `[B, Q]` float32, remaining squared distance of the encoded input after each level, without gradient.
    """

    output: tf.Tensor
    codes: tf.Tensor
    loss: tf.Tensor
    reconstruction: tf.Tensor
    errors: tf.Tensor


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, D]", known="D"))
class GroupStructureLearning(keras.layers.Layer):
    """`[x ; groups]`, where the groups are the codes of x in a residual-quantised autoencoder.

        r = Encoder(x),   codes and groups = ResidualQuantizer(r),   x^ = Decoder(groups)
        loss = ||sg(x) - x^||^2 + the commitment loss of `ResidualQuantizer`            ([Meta] Eq. 1)

    x may be a feature's embedding, several of them, or the shared representation. The paper does not say where the
    gradient of the reconstruction stops: here x is a constant in it, both as target and as the encoder's input. If it
    were constant only as the target, it would run away, because reconstruction moves it along `J^T (x - x^)`, away from
    an x^ that lags behind; if it were not constant at all, it would shrink in order to be easy to reconstruct.
    Commitment and groups do shape the layers below, unless `detach` is set. The decoder reads straight-through groups,
    so reconstruction trains the encoder. The paper specifies neither network; ours are an MLP and its mirror image.

    Call arguments:
      inputs: `[B, D]`, x.

    Returns:
      `GroupStructure`.

    Args:
      levels: Q.
      codes: C.
      width: d, of the encoded input and the codes.
      hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
      detach: Whether no gradient of groups and loss reaches the input.
      straight_through: Whether the groups after x pass the task's gradient on to the encoder. Otherwise they are plain
        embeddings, and the task trains the codes.
      mu: Weight of the codes' term in the commitment loss.
      combine: `sum` or `concat` of the levels; with `concat`, groups are `Q d` wide.
      k_means_steps, usage_decay, restart_share: As in `ResidualQuantizer`.
      seed: Seed of codebooks, start and restarts.
    """

    def __init__(
        self,
        levels: int,
        codes: int,
        width: int,
        *,
        hidden: Sequence[int] = (64,),
        detach: bool = False,
        straight_through: bool = True,
        mu: float = 1.0,
        combine: Literal["sum", "concat"] = "sum",
        k_means_steps: int = 10,
        usage_decay: float = 0.95,
        restart_share: float = 0.05,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("GroupStructureLearning", width=width, hidden=tuple(hidden))
        self.width = width
        self.hidden = tuple(hidden)
        self.detach = detach
        self.straight_through = straight_through
        self.quantizer = ResidualQuantizer(
            levels,
            codes,
            mu=mu,
            combine=combine,
            k_means_steps=k_means_steps,
            usage_decay=usage_decay,
            restart_share=restart_share,
            seed=seed,
            name="quantizer",
            dtype=dtype,
            trainable=trainable,
        )
        self._given_dtype = dtype
        self._encoder = self._network((*self.hidden, width), "encoder")

    def _network(self, widths: Sequence[int], name: str) -> list[keras.layers.Dense]:
        *hidden, last = widths
        policy = self._given_dtype
        return [
            *(Dense(n, "relu", name=f"{name}_{i}", dtype=policy) for i, n in enumerate(hidden)),
            Dense(last, name=f"{name}_out", dtype=policy),
        ]

    def build(self, input_shape: Any) -> None:
        """Creates the decoder, which is as wide as the input."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(f"GroupStructureLearning needs inputs [B, D] of known D. Received: {input_shape}.")
        self._decoder = self._network((*reversed(self.hidden), input_shape[-1]), "decoder")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> GroupStructure:
        """Returns input and groups, `[B, D + d]`, and the loss."""
        constant = tf.stop_gradient(inputs)
        encoded = self._encode(constant if self.detach else inputs)
        quantized = self.quantizer(encoded, training=training)
        anchor = tf.cast(encoded if self.detach else self._encode(constant), quantized.groups.dtype)
        anchor = tf.tile(anchor, (1, quantized.groups.shape[1] // self.width))
        decoded = anchor + tf.stop_gradient(quantized.groups - anchor)
        for layer in self._decoder:
            decoded = layer(decoded)
        missed = tf.cast(constant, tf.float32) - tf.cast(decoded, tf.float32)
        reconstruction = tf.reduce_sum(tf.square(missed), axis=1)
        groups = quantized.groups if self.straight_through else self.quantizer.embed(quantized.codes)
        return GroupStructure(
            output=tf.concat([inputs, groups], axis=1),
            codes=quantized.codes,
            loss=reconstruction + quantized.loss,
            reconstruction=tf.stop_gradient(reconstruction),
            errors=quantized.errors,
        )

    def _encode(self, values: tf.Tensor) -> tf.Tensor:
        for layer in self._encoder:
            values = layer(values)
        return values

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "levels": self.quantizer.levels,
            "codes": self.quantizer.codes,
            "width": self.width,
            "hidden": self.hidden,
            "detach": self.detach,
            "straight_through": self.straight_through,
            "mu": self.quantizer.mu,
            "combine": self.quantizer.combine,
            "k_means_steps": self.quantizer.k_means_steps,
            "usage_decay": self.quantizer.usage_decay,
            "restart_share": self.quantizer.restart_share,
            "seed": self.quantizer.seed,
        }
        return {**super().get_config(), **own}
