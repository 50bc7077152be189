"""GwPFM: part-wise embeddings, group-wise weights ([Tencent] §4.3), and its limit FFM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.inputs import Input, exact_dtype, takes
from fullrank.layers.interactions.factorization_machines import pair_count, pair_places


@keras.saving.register_keras_serializable(package="fullrank")
@takes(fields=Input("[B, F, d]", known="F d"))
class GroupWeightedFM(keras.layers.Layer):
    """`Phi = sum_{i<j} v_{i,P(j)} * v_{j,P(i)} r_{G(i),G(j)}`, element-wise, no pass over pairs ([Tencent] Eq. 4).

    A field has P embeddings, one for each *part* that a partner may belong to: its row of width d is cut into P of
    width k = d / P, so that other experts can read the same set. r is one trained weight for each unordered pair of
    *groups*, a group with itself included, and starts at 1.

    No pair of fields is visited. With S_{g,p} the sum over group g of the embeddings for part p, groups g and h add
    `r_gh S_{g,P(h)} * S_{h,P(g)}`, and a group with itself `r_gg (S_{g,P(g)}^2 - sum_{i in g} v_{i,P(g)}^2) / 2`. A
    group that lies in several parts is summed in each. The sums are a product with a matrix of zeros and ones, F G d
    multiplications, which take a processor less time than F d additions in another memory order. The rest is
    O(G^2 P d), so P should be small: for one part per field use `FieldAwareFM`. Sums are in float32 at least, because
    their difference cancels.

    With one part it is FwFM over groups, and FM if all weights are 1; with one part per field it has the interactions
    of FFM (`FieldAwareFM`). The paper's inner product is read as an element-wise one, as its circled sum suggests, so
    that an expert keeps k dimensions.

    Call arguments:
      fields: `[B, F, d]`.

    Returns:
      `[B, d / P]`.

    Args:
      parts: The part of each field, numbered from 0, `F` long. The paper has two: the ad's fields, and the rest.
      groups: The group of each field, numbered from 0, `F` long; `None` for one per field. The paper has dozens.

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
                f"GroupWeightedFM cuts an embedding into one for each of {parts} parts, so its width must be a "
                f"multiple of {parts}. Received: {input_shape}."
            )
        pairs = pair_count(self._places.groups, diagonal=True)
        self.group_weights = self.add_weight(name="group_weights", shape=(pairs,), initializer="ones")
        super().build(input_shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Returns the weighted sum over all pairs, `[B, d / P]`."""
        places, number = self._places, len(self.parts)
        width = fields.shape[2] // places.parts
        exact = tf.cast(fields, exact_dtype(fields.dtype))
        # Padded with a zero for cells that do not interact; padding makes the gradient a dense tensor.
        weights = tf.pad(tf.cast(self.group_weights, exact.dtype), [[1, 0]])
        sums = tf.reshape(
            tf.matmul(tf.constant(places.members, exact.dtype), exact), (-1, places.cells * places.parts, width)
        )
        everything = tf.reduce_sum(sums * tf.matmul(tf.gather(weights, places.between), sums), axis=1)
        squares = tf.reshape(tf.square(exact), (-1, number * places.parts, width))
        selves = tf.matmul(tf.gather(weights, places.own), squares)[:, 0]
        return tf.cast(0.5 * (everything - selves), fields.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "parts": self.parts, "groups": self.groups}


class _Places:
    """The interactions of cells, as constant matrices; a cell is the fields of one group in one part.

    Attributes:
      parts: P.
      groups: G.
      cells: C, the number of cells: G if no group lies in several parts.
      members: `[C, F]`, 1 where a field is in a cell.
      between: `[C P, C P]`: at ((g, q), (h, p)) the place of the weight of the product of the sum of cell g for part q
        and that of cell h for part p; it is 0, for none, unless g is in p and h in q.
      own: `[1, F P]`: at (i, p) the place of the weight of field i with its own group, 0 unless i is in p.
    """

    def __init__(self, parts: tuple[int, ...], groups: tuple[int, ...]) -> None:
        self.parts, self.groups = max(parts) + 1, max(groups) + 1
        cells = list(dict.fromkeys(zip(parts, groups, strict=True)))
        self.cells = len(cells)
        part, group = (np.array(each) for each in zip(*cells, strict=True))
        cell_of = np.array([cells.index(cell) for cell in zip(parts, groups, strict=True)])
        self.members = (np.arange(self.cells)[:, np.newaxis] == cell_of).astype(np.float32)
        place = pair_places(self.groups, diagonal=True)
        of_part = np.eye(self.parts, dtype=np.int32)[part]
        # [g, q, h, p]: g in p and h in q.
        meets = of_part[:, np.newaxis, np.newaxis, :] * of_part.T[np.newaxis, :, :, np.newaxis]
        weight = place[group[:, np.newaxis], group][:, np.newaxis, :, np.newaxis]
        self.between = (meets * weight).reshape(self.cells * self.parts, -1)
        self.own = (of_part * np.diag(place)[group][:, np.newaxis])[cell_of].reshape(1, -1)


def _check_numbered(numbers: tuple[int, ...], *, of: str) -> None:
    if not numbers or sorted(set(numbers)) != list(range(len(set(numbers)))):
        raise ValueError(f"{of} must be numbered from 0 without a gap, one number per field. Received: {numbers}.")
