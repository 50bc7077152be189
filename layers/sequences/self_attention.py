"""Self-attention over behaviours, with the target as the last token (BST, SASRec; baselines of [Tencent] §3.1)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, known_places, takes
from fullrank.layers.dense import Dense


@keras.saving.register_keras_serializable(package="fullrank")
@takes(behaviours=Input("[B, L, d]", known="d"), target=Input("[B, d]"), mask=Input("[B, L]", kind="bool"))
class SelfAttention(keras.layers.Layer):
    """Passes behaviours and target through transformer blocks and returns the target's token (BST, Chen et al. 2019).

    A block maps tokens x to `h = LN(x + MultiHead(x, x, x))`, then `LN(h + W_2 lrelu(W_1 h + b_1) + b_2)`, with `W_1`
    of width 4d. Tokens start as `e_i + p_i`, with p an embedding of the relative position (the most recent behaviour
    has 1, the target 0). The last block computes its queries and all later operations only for the returned token, so
    that one block takes time linear in L, and each further one quadratic time.

    Departures: BST concatenates the outputs of all tokens and derives positions from times; here the output is one
    token, of the width that the other sequence encoders have, and positions are counted. There is no dropout. Without
    `target` the last behaviour's token is returned, as in SASRec (Kang and McAuley 2018), and the target is not read;
    there is no causal mask, since all behaviours are older than the event.

    Call arguments:
      behaviours: `[B, L, d]`, oldest first, left-aligned.
      target: `[B, d]`.
      mask: `[B, L]` bool, true where there is a behaviour; values elsewhere are ignored, NaN included.

    Returns:
      `[B, d]`; zero where there is no behaviour, as from the other encoders, although the target alone would give an
      output.

    Args:
      max_length: The largest relative position with its own embedding. L may exceed it; the older behaviours
        then share the embedding of position `max_length`.
      blocks: Transformer blocks, one or more.
      heads: Attention heads, each of width `max(1, d // heads)`.
      target: Whether the target is a token, and the one that is returned.

    Raises:
      ValueError: If there is no block.
    """

    def __init__(
        self,
        max_length: int,
        *,
        blocks: int = 1,
        heads: int = 2,
        target: bool = True,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("SelfAttention", max_length=max_length, blocks=blocks, heads=heads)
        self.max_length = max_length
        self.blocks = blocks
        self.heads = heads
        self.target = target
        self._blocks: list[_Block] = []

    def build(self, input_shape: Any) -> None:
        """Creates the table of positions and the blocks, in the width of the behaviours."""
        width = int(input_shape[-1])
        self._positions = self.add_weight(
            name="positions",
            shape=(self.max_length + 1, width),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
        )
        policy = self._dtype_policy
        self._blocks = [_Block(width, self.heads, name=f"block_{i}", dtype=policy) for i in range(self.blocks)]
        super().build(input_shape)

    def call(self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the output of the target's token, or of the last behaviour's, `[B, d]`."""
        places = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
        positions = tf.gather(self._positions, tf.minimum(places, self.max_length))
        tokens, valid = known_places(behaviours, mask) + tf.cast(positions, behaviours.dtype), mask
        if self.target:
            token = tf.cast(target, tokens.dtype) + tf.cast(self._positions[0], tokens.dtype)
            tokens = tf.concat([tokens, token[:, tf.newaxis]], axis=1)
            valid = tf.pad(mask, [[0, 0], [0, 1]], constant_values=True)
        for block in self._blocks[:-1]:
            tokens = block(tokens, tokens, valid)
        read = tokens[:, -1:] if self.target else _chosen(tokens, mask & (places == 1))
        out = self._blocks[-1](read, tokens, valid)[:, 0]
        return tf.where(tf.reduce_any(mask, axis=1, keepdims=True), out, tf.zeros([], out.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"max_length": self.max_length, "blocks": self.blocks, "heads": self.heads, "target": self.target}
        return {**super().get_config(), **own}


class _Block(keras.layers.Layer):
    """One transformer block, computed for the requested tokens only.

    Call arguments:
      queries: `[B, Q, d]`, the tokens to compute.
      tokens: `[B, L, d]`, the tokens that they attend to.
      mask: `[B, L]`, true for tokens that may be attended to.

    Returns:
      `[B, Q, d]`.

    Args:
      width: d.
      heads: Attention heads.
    """

    def __init__(self, width: int, heads: int, *, name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._attend = keras.layers.MultiHeadAttention(heads, max(1, width // heads), name="attention", dtype=dtype)
        self._widen = Dense(4 * width, activation=tf.nn.leaky_relu, name="widen", dtype=dtype)
        self._narrow = Dense(width, name="narrow", dtype=dtype)
        self._norms = [keras.layers.LayerNormalization(epsilon=1e-6, name=f"norm_{i}", dtype=dtype) for i in range(2)]

    def call(self, queries: tf.Tensor, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the tokens' next values, `[B, Q, d]`."""
        attended = self._attend(queries, tokens, attention_mask=mask[:, tf.newaxis])
        hidden = self._norms[0](queries + attended)
        return self._norms[1](hidden + self._narrow(self._widen(hidden)))


def _chosen(tokens: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """The one token of each row that is chosen, `[B, 1, d]`; zero where none is."""
    zero = tf.zeros([], tokens.dtype)
    return tf.reduce_sum(tf.where(chosen[:, :, tf.newaxis], tokens, zero), axis=1, keepdims=True)
