"""Spectra of sub-embeddings: what is left of a field's embeddings before they meet each partner ([Tencent] §4.1, §4.4).

Where an interaction has a projection for each pair of fields, `(e_i W_{i->j}) * e_j`, the rows of `E_i W_{i->j}` are
what field i shows to field j. A partner of low cardinality spans few dimensions, and the sub-embeddings that meet it
may collapse with it, while those that meet other partners need not.
"""

from __future__ import annotations

import numpy as np

from fullrank.analysis.embeddings.spectrum import Array, Spectrum, spectrum


def pair_projections(kernel: Array, *, fields: int) -> Array:
    """Cuts the matrix of a cross layer into its projections.

    Args:
      kernel: W of `x_0 * (x W)`, `[F d, F d]`, as CrossNet V2 keeps it.
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

    They are those of `S V^T W` with `E_i = U S V^T`, so that the table is read once, whatever the number of partners.

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
