"""The diversity of two embedding sets of the same field ([Tencent] §4.2, after Guo et al. 2023).

Spectra of sub-embeddings: a field's embeddings after projection for each partner ([Tencent] §4.1, §4.4).

Where an interaction has a projection for each pair of fields, `(e_i W_{i->j}) * e_j`, the rows of `E_i W_{i->j}` are
the embeddings of field i that interact with field j. A partner of low cardinality spans few dimensions, and the
sub-embeddings that interact with it may collapse with it, while those for other partners need not.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fullrank.analysis.embeddings.spectrum import Spectrum, cross_moment, spectrum
from fullrank.analysis.inputs.variables import Array

TOLERANCE: Final = 1e-3
"""Directions with a singular value below this share of the largest one do not count: they have collapsed, and only
noise remains in them."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Diversity:
    """The difference between two tables of one field.

    Attributes:
      cosines: cos theta_k of the principal angles, the largest first, `[min(r_1, r_2)]`.
      ranks: r_1 and r_2, the numbers of directions that count.
      rows: N.
    """

    cosines: Array
    ranks: tuple[int, int]
    rows: int

    @property
    def index(self) -> float | None:
        """1 - mean_k cos theta_k: 0 for equal column spaces, 1 for orthogonal ones.

        `None` where it is meaningless: without any direction, or where a table's columns span all of R^N, as those of a
        field with N <= d may, so that they contain every other column space.
        """
        return None if not len(self.cosines) or max(self.ranks) >= self.rows else float(1 - np.mean(self.cosines))

    @property
    def at_random(self) -> float | None:
        """The lower bound for two random column spaces of these ranks, 1 - sqrt(max(r_1, r_2) / N).

        The mean of cos^2 over random spaces is max(r_1, r_2) / N, and the mean of cos is at most the root of that. A
        field of few rows cannot be very diverse, and an untrained one of many rows is as diverse as chance.
        """
        return None if self.index is None else float(1 - np.sqrt(max(self.ranks) / self.rows))


def diversity(first: Array, second: Array, *, rows: Array | None = None, tolerance: float = TOLERANCE) -> Diversity:
    """Compares the column spaces of two tables of one field by their principal angles.

    With orthonormal bases Q_1 `[N, r_1]` and Q_2 `[N, r_2]` of the column spaces, the singular values of `Q_1^T Q_2`
    are the cosines of the principal angles between them; the index is one minus their mean. A linear map of either
    set's embeddings does not change the index, as a network above the set could undo it. The bases are never formed:
    with `E = U S V^T`, `Q_1^T Q_2 = S_1^-1 V_1^T (E_1^T E_2) V_2 S_2^-1`, in memory that does not grow with N.

    Args:
      first: `[N, d_1]`.
      second: `[N, d_2]`, the same rows in the same order.
      rows: `[N]`, whether a row counts; all do if `None`.
      tolerance: Directions with a singular value below this share of the largest one do not count.

    Raises:
      ValueError: If the tables have different numbers of rows, or values that are not finite.
    """
    if len(first) != len(second):
        raise ValueError(f"Tables of one field have equal rows. Received: {len(first)} and {len(second)}.")
    one, other = spectrum(first, rows=rows), spectrum(second, rows=rows)
    left, right = _scaled(one, tolerance), _scaled(other, tolerance)
    between = left.T @ cross_moment(first, second, rows=rows) @ right
    cosines = np.minimum(np.linalg.svd(between, compute_uv=False), 1.0) if between.size else np.zeros(0)
    return Diversity(cosines=cosines, ranks=(left.shape[1], right.shape[1]), rows=one.rows)


def _scaled(found: Spectrum, tolerance: float) -> Array:
    """`V S^-1` of the directions that count, `[d, r]`."""
    values = found.singular_values
    kept = values > tolerance * np.max(values, initial=0.0)
    scaled: Array = found.directions[:, kept] / values[kept]
    return scaled


def pair_projections(kernel: Array, *, fields: int) -> Array:
    """Cuts the matrix of a cross layer into its projections.

    Args:
      kernel: W of `x_0 * (x W)`, `[F d, F d]`, as stored by CrossNet V2.
      fields: F.

    Returns:
      `[F, F, d, d]`; entry (i, j) is W_{i->j}, by which field i is multiplied from the right.

    Raises:
      ValueError: If the matrix cannot be cut into F x F square blocks.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % fields:
        raise ValueError(f"A cross matrix of {fields} fields is [F d, F d]. Received: shape {kernel.shape}.")
    width = kernel.shape[0] // fields
    return kernel.reshape(fields, width, fields, width).transpose(0, 2, 1, 3)


def partner_singular_values(table: Array | Spectrum, projections: Array) -> Array:
    """Singular values of `E_i W_{i->j}` for every partner j.

    They are those of `S V^T W` with `E_i = U S V^T`, so that the table is read once for any number of partners.

    Args:
      table: E_i, `[N, d]`, or its spectrum.
      projections: W_{i->j} of every partner, `[P, d, e]`.

    Returns:
      `[P, min(N, d, e)]`, the largest first.
    """
    found = table if isinstance(table, Spectrum) else spectrum(table)
    root = found.singular_values[:, np.newaxis] * found.directions.T
    values: Array = np.linalg.svd(root @ np.asarray(projections, np.float64), compute_uv=False)
    return values
