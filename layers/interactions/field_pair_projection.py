"""FmFM, or field-pair projection: the interaction that resists collapse ([Tencent] §4.4; Sun et al. 2021)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.interactions.factorization_machines import pair_count, pair_places

Projection = Literal["full", "diagonal", "low_rank"]
Start = Literal["orthogonal", "identity"]


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class FieldPairProjection(keras.layers.Layer):
    """`sum_{i<j} (e_i W_{F(i)->F(j)}) * e_j`, element-wise, with a projection for each pair of fields (§4.4).

    Field j meets a projection of the embedding of field i, so that a partner that spans few dimensions does not pull
    the embedding itself into them. The forms of W:

    * `full`: one matrix `[d, d]` per pair, O(F^2 d^2). One product with all of them as the blocks of `[F d, F d]`.
    * `diagonal`: one vector `[d]` per pair, O(F^2 d); the element-wise form of FwFM (FvFM in the FmFM paper).
    * `low_rank`: `W_{i->j} = U_i V_j` with U_i `[d, rank]`, V_j `[rank, d]`, as in low-rank CrossNet V2. Fields before
      j are summed once, `(sum_{i<j} e_i U_i) V_j`, so that the cost is O(F d rank), linear in fields. At rank F d it
      can be any full projection.

    Full projections start as independent random orthogonal matrices: at the identity, which is FM, every partner
    would pull an embedding into its own few directions from the first step on, and training of the usual length does
    not leave that state. Diagonal ones start at 1, which is FM, low-rank ones at random. The d dimensions are kept,
    as an expert needs them; their sum is the pairwise part of FmFM, whose bias and linear term are left out.

    Call arguments:
      fields: `[B, F, d]`, F >= 2.

    Returns:
      `[B, d]`.

    Args:
      form: `full`, `diagonal` or `low_rank`.
      rank: Rank of the low-rank form; `None` for the others.
      start: Initial full projections: `orthogonal` or the `identity`.

    Raises:
      ValueError: If form or start is unknown, or a rank is given without the low-rank form, or the other way round.
    """

    def __init__(
        self,
        form: Projection = "full",
        *,
        rank: int | None = None,
        start: Start = "orthogonal",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if form not in ("full", "diagonal", "low_rank"):
            raise ValueError(f"form must be full, diagonal or low_rank. Received: {form!r}.")
        if (form == "low_rank") != (rank is not None):
            raise ValueError(f"rank is for form='low_rank', and required by it. Received: form={form!r}, rank={rank}.")
        require_counts("FieldPairProjection", rank=1 if rank is None else rank)
        if start not in ("orthogonal", "identity"):
            raise ValueError(f"start must be orthogonal or identity. Received: {start!r}.")
        self.form = form
        self.rank = rank
        self.start = start

    def build(self, input_shape: Any) -> None:
        """Creates the projections."""
        number, width = input_shape[1], input_shape[2]
        if number is None or number < 2:
            raise ValueError(f"FieldPairProjection needs at least two fields, [B, F >= 2, d]. Received: {input_shape}.")
        pairs = pair_count(number)
        if self.form == "full":
            identity = keras.initializers.Constant(np.broadcast_to(np.eye(width), (pairs, width, width)))
            first = OrthogonalOfEach() if self.start == "orthogonal" else identity
            self.projections = self.add_weight(name="projections", shape=(pairs, width, width), initializer=first)
        elif self.form == "diagonal":
            self.projections = self.add_weight(name="projections", shape=(pairs, width), initializer="ones")
        else:
            # The last field is not projected, and no field is projected for the first.
            shapes = {"shown": (number - 1, width, self.rank), "met": (number - 1, self.rank, width)}
            glorot = keras.initializers.GlorotUniform
            self.shown, self.met = (self.add_weight(name=n, shape=s, initializer=glorot()) for n, s in shapes.items())
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the products of projected and plain embeddings, summed, `[B, d]`."""
        if self.form == "low_rank":
            shown = tf.einsum("bfd,fdr->bfr", fields[:, :-1], tf.cast(self.shown, fields.dtype))
            before = tf.cumsum(shown, axis=1)
            projected = tf.einsum("bfr,frd->bfd", before, tf.cast(self.met, fields.dtype))
            return tf.reduce_sum(projected * fields[:, 1:], axis=1)
        number, width = fields.shape[1], fields.shape[2]
        projections = self._between(number)
        if self.form == "diagonal":
            by_dimension = tf.transpose(fields, (2, 0, 1))
            projected = tf.transpose(tf.matmul(by_dimension, tf.transpose(projections, (2, 0, 1))), (1, 2, 0))
        else:
            matrix = tf.reshape(tf.transpose(projections, (0, 2, 1, 3)), (number * width, number * width))
            projected = tf.matmul(tf.reshape(fields, (-1, number * width)), matrix)
            projected = tf.reshape(projected, (-1, number, width))
        return tf.reduce_sum(projected * fields, axis=1)

    def _between(self, number: int) -> tf.Tensor:
        """The projections as `[F, F, ...]`, zero where not i < j."""
        place = np.triu(pair_places(number), k=1)
        weights = tf.cast(self.projections, self.compute_dtype)
        padded = tf.pad(weights, [[1, 0], *([[0, 0]] * (weights.shape.rank - 1))])
        return tf.gather(padded, place)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "form": self.form, "rank": self.rank, "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FieldPairProjection:
        """The reverse of `get_config`; a layer that was saved before `start` existed started at the identity."""
        return cls(**{"start": "identity", **config})


@keras.saving.register_keras_serializable(package="fullrank")
class OrthogonalOfEach(keras.initializers.Initializer):
    """Draws n stacked random orthogonal matrices, `[n, d, d]`, uniform over all rotations and reflections.

    Each is the Q of a matrix of normal numbers, with the signs that make R's diagonal positive (Mezzadri 2007).
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Draws `[n, d, d]`."""
        wanted = tf.as_dtype(dtype or keras.backend.floatx())
        # There is no decomposition in 16 bits.
        exact = tf.float64 if wanted == tf.float64 else tf.float32
        q, r = tf.linalg.qr(keras.initializers.RandomNormal(0.0, 1.0)(shape, dtype=exact, **kwargs))
        return tf.cast(q * tf.sign(tf.linalg.diag_part(r))[:, tf.newaxis], wanted)

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}
