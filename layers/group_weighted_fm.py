"""GwPFM: part-wise embeddings, group-wise weights (Tencent §4.3, Eq. 4), and its limit FFM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.pair_weights import pair_count, symmetric


@keras.saving.register_keras_serializable(package="fullrank")
class GroupWeightedFM(keras.layers.Layer):
    """`Phi = sum_{i<j} v_{i,P(j)} * v_{j,P(i)} r_{G(i),G(j)}`, element-wise, in O(F d + G^2 d) (Eq. 4).

    A field has P embeddings, one for each *part* that a partner may belong to: its row of width d is cut into P of
    width k = d / P, so that other experts can read the same set. r is one trained weight for each unordered pair of
    *groups*, a group with itself included, and starts at 1.

    Nothing visits a pair of fields. With S_{g,p} the sum over group g of the embeddings for part p, groups g and h add
    `r_gh S_{g,P(h)} * S_{h,P(g)}`, and a group with itself `r_gg (S_{g,P(g)}^2 - sum_{i in g} v_{i,P(g)}^2) / 2`. A
    group that lies in several parts is summed in each. Sums are taken in float32, because their difference cancels.

    With one part it is FwFM over groups, and FM if all weights are 1; with a part for each field it has the
    interactions of FFM (`FieldAwareFM`). The inner product of Eq. 4 is an element-wise one, as the paper's circled sum
    has it, so that an expert keeps k dimensions.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, d / P]`.

    Args:
      parts: The part of each field, numbered from 0, `F` long. The paper has two: what describes the ad, and the rest.
      groups: The group of each field, numbered from 0, `F` long; `None` for one a field. The paper has dozens.

    Raises:
      ValueError: If parts or groups are not numbered from 0 without a gap, do not fit the fields, or d is not a
        multiple of P.
    """

    def __init__(
        self,
        parts: Sequence[int],
        groups: Sequence[int] | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.parts = tuple(parts)
        self.groups = tuple(range(len(self.parts)) if groups is None else groups)
        _check_numbered(self.parts, of="parts")
        _check_numbered(self.groups, of="groups")
        if len(self.groups) != len(self.parts):
            raise ValueError(f"parts are given for {len(self.parts)} fields, but groups for {len(self.groups)}.")
        self._places = _Places(self.parts, self.groups)

    def build(self, input_shape: Any) -> None:
        """Creates the group weights."""
        number, width, parts = input_shape[1], input_shape[2], self._places.parts
        if number != len(self.parts):
            raise ValueError(f"GroupWeightedFM has parts of {len(self.parts)} fields. Received: {input_shape}.")
        if width % parts:
            raise ValueError(
                f"GroupWeightedFM cuts an embedding into one for each of {parts} parts, so that its width must be a "
                f"multiple of {parts}. Received: {input_shape}."
            )
        pairs = pair_count(self._places.groups, diagonal=True)
        self.group_weights = self.add_weight(name="group_weights", shape=(pairs,), initializer="ones")
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the weighted sum over all pairs, `[B, d / P]`."""
        places, number = self._places, len(self.parts)
        parts, cells = places.parts, places.cells
        width = fields.shape[2] // parts
        split = tf.reshape(tf.cast(fields, tf.float32), (-1, number, parts, width))
        rows = tf.reshape(tf.transpose(split, (2, 1, 0, 3)), (parts * number, -1))
        # [p, q, c]: cell c of part q, the embeddings that meet part p; cells that no field is in stay zero.
        sums = tf.math.unsorted_segment_sum(rows, places.segments, parts * parts * cells)
        sums = tf.reshape(sums, (parts, parts, cells, -1))
        weights = symmetric(tf.cast(self.group_weights, tf.float32), places.groups, diagonal=True)
        between = tf.gather(tf.reshape(weights, (-1,)), places.weight_of_cells)
        met = tf.matmul(between, sums)
        everything = tf.reduce_sum(met * tf.transpose(sums, (1, 0, 2, 3)), axis=(0, 1, 2))
        own = tf.square(tf.gather(rows, places.own_rows))
        selves = tf.linalg.matvec(own, tf.gather(tf.linalg.diag_part(weights), self.groups), transpose_a=True)
        return tf.cast(tf.reshape(0.5 * (everything - selves), (-1, width)), fields.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "parts": self.parts, "groups": self.groups}


class _Places:
    """Where the sums of fields lie: a cell is what a group has in a part, and the cells of a part are numbered.

    Attributes:
      parts: P.
      groups: G.
      cells: Most cells of a part.
      segments: `[P F]`, the sum that row (p, field) is part of: `p, P(field), cell`.
      own_rows: `[F]`, the row of each field's embedding for its own part.
      weight_of_cells: `[P, P, cells, cells]`, at (p, q, g, h) the flat place in `[G, G]` of the weight between cell
        g of part p and cell h of part q; any for cells that no field is in.
    """

    def __init__(self, parts: tuple[int, ...], groups: tuple[int, ...]) -> None:
        self.parts, self.groups = max(parts) + 1, max(groups) + 1
        held = [sorted({g for p, g in zip(parts, groups, strict=True) if p == part}) for part in range(self.parts)]
        self.cells = max(map(len, held))
        cell_of = {(part, group): cell for part, own in enumerate(held) for cell, group in enumerate(own)}
        places = np.array([p * self.cells + cell_of[p, g] for p, g in zip(parts, groups, strict=True)])
        towards = np.arange(self.parts)[:, np.newaxis]
        self.segments = (towards * self.parts * self.cells + places).reshape(-1)
        self.own_rows = np.array(parts) * len(parts) + np.arange(len(parts))
        group_of = np.array([own + [0] * (self.cells - len(own)) for own in held])
        self.weight_of_cells = group_of[:, np.newaxis, :, np.newaxis] * self.groups + group_of[:, np.newaxis, :]


def _check_numbered(numbers: tuple[int, ...], *, of: str) -> None:
    if not numbers or sorted(set(numbers)) != list(range(len(set(numbers)))):
        raise ValueError(f"{of} must be numbered from 0 without a gap, one number a field. Received: {numbers}.")
