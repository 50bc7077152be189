"""Singular spectra of embedding tables as measures of dimensional collapse ([Tencent] §4.1, §7.2).

With the singular values sigma_1 >= sigma_2 >= ... of a table E `[N, d]`, and p_k = sigma_k / sum_j sigma_j:

  information abundance  IA = sum_k sigma_k / sigma_1                        ([Tencent] §7.2, after Guo et al. 2023)
  relative abundance     IA / min(N, d), because cardinality alone would order the fields by IA
  effective rank         exp(-sum_k p_k log p_k)                             (Roy and Vetterli 2007)
  participation ratio    (sum_k sigma_k^2)^2 / sum_k sigma_k^4
  stable rank            sum_k sigma_k^2 / sigma_1^2

All but the relative abundance lie between 1 (one direction only) and min(N, d) (an isotropic table); those of a table
of zeros are 0. Rows are not centred, as in the paper: a common offset of all rows is a direction like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np

from fullrank.analysis.inputs.variables import Array

EXACT_ELEMENTS: Final = 2**20
"""Tables of at most this many numbers get an exact singular value decomposition."""
_CHUNK: Final = 2**21
_ANGLES: Final = 4096


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """The singular values of a table and its right singular vectors.

    Attributes:
      singular_values: `[min(N, d)]`, the largest first.
      directions: `[d, min(N, d)]`, column k belongs to singular value k.
      rows: N, the number of rows that count.
      width: d.
    """

    singular_values: Array
    directions: Array
    rows: int
    width: int

    def measures(self) -> dict[str, float]:
        """All measures of this module, by name."""
        values = self.singular_values
        return {
            "information_abundance": information_abundance(values),
            "relative_abundance": relative_abundance(values, rows=self.rows, width=self.width),
            "effective_rank": effective_rank(values),
            "participation_ratio": participation_ratio(values),
            "stable_rank": stable_rank(values),
        }


def spectrum(table: Array, *, rows: Array | None = None, weights: Array | None = None) -> Spectrum:
    """The singular spectrum of a table.

    A small table is decomposed directly. For a larger one, `E^T E` (`[d, d]`) is summed in float64 over chunks of rows,
    so that memory does not grow with N; the singular values are the square roots of its eigenvalues. Those below about
    1e-8 of the largest are then rounding noise, well below the noise of a table stored in float32.

    Args:
      table: `[N, d]`, of floats.
      rows: `[N]`, whether a row counts; all do if `None`. Leave never-trained rows out: they keep the isotropy of their
        initial values and hide a collapse.
      weights: `[N]`, how often each row is looked up. Row n then counts sqrt(weights_n) times itself, so that
        `E^T diag(weights) E` is the second moment of the embeddings over lookups instead of over rows.

    Raises:
      ValueError: If shapes do not fit, a weight is negative, or a value is not finite.
    """
    _check(table, rows, weights)
    number, width = int(table.shape[0] if rows is None else np.count_nonzero(rows)), int(table.shape[1])
    kept = min(number, width)
    if number * width <= EXACT_ELEMENTS:
        parts = list(_chunks(table, rows, weights))
        matrix = np.concatenate(parts) if parts else np.zeros((0, width))
        _check_finite(matrix)
        _, values, directions = np.linalg.svd(matrix, full_matrices=False)
        return Spectrum(singular_values=values, directions=directions.T, rows=number, width=width)
    gram = np.zeros((width, width))
    for chunk in _chunks(table, rows, weights):
        gram += chunk.T @ chunk
    _check_finite(gram)
    squares, directions = np.linalg.eigh(gram)
    values = np.sqrt(np.maximum(squares[::-1], 0.0))
    return Spectrum(singular_values=values[:kept], directions=directions[:, ::-1][:, :kept], rows=number, width=width)


def cross_moment(first: Array, second: Array, *, rows: Array | None = None) -> Array:
    """`first^T second` in float64, `[d_1, d_2]`, over the rows that count, in chunks."""
    total = np.zeros((first.shape[1], second.shape[1]))
    for one, other in zip(_chunks(first, rows, None), _chunks(second, rows, None), strict=True):
        total += one.T @ other
    return total


def information_abundance(singular_values: Array) -> float:
    """sum_k sigma_k / sigma_1."""
    largest = _largest(singular_values)
    return float(np.sum(singular_values) / largest) if largest else 0.0


def relative_abundance(singular_values: Array, *, rows: int, width: int) -> float:
    """Information abundance over its largest possible value, min(N, d)."""
    return information_abundance(singular_values) / max(1, min(rows, width))


def isotropic_abundance(*, rows: int, width: int) -> float:
    """Information abundance of a table of independent numbers with mean 0, like an untrained table.

    It is below min(N, d), because some directions are longer by chance. With m = min(N, d), n = max(N, d) and y = m / n
    the squares lambda of singular values over sqrt(n) follow Marchenko and Pastur's law (1967) up to (1 + sqrt(y))^2:

        IA = m / (1 + sqrt(y)) * 2 / pi * integral over theta from 0 to pi of sin(theta)^2 / sqrt(lambda(theta)),
        lambda(theta) = 1 + y + 2 sqrt(y) cos(theta)

    A square table has 4 m / (3 pi), one of far more rows than columns m. From about 8 columns on it is exact to a few
    percent; the largest singular value of smaller tables scatters.
    """
    small, large = min(rows, width), max(rows, width)
    if small < 1:
        return 0.0
    root = float(np.sqrt(small / large))
    angles = (np.arange(_ANGLES) + 0.5) * np.pi / _ANGLES
    squares = 1.0 + root**2 + 2.0 * root * np.cos(angles)
    mean = 2.0 * float(np.mean(np.square(np.sin(angles)) / np.sqrt(squares)))
    return small * mean / (1.0 + root)


def output_rank(outputs: Array) -> float:
    """Effective rank of a layer's outputs for a sample of rows, `[n, H]`.

    Unlike those of tables, rows are centred: outputs of a rectifier are positive, so that their common mean would be
    the largest direction and hide all others.
    """
    exact = np.asarray(outputs, np.float64)
    return effective_rank(spectrum(exact - exact.mean(axis=0)).singular_values)


def effective_rank(singular_values: Array) -> float:
    """The exponential of the entropy of the singular values divided by their sum."""
    if not _largest(singular_values):
        return 0.0
    shares = np.asarray(singular_values, np.float64)
    shares = shares[shares > 0] / np.sum(shares)
    return float(np.exp(-np.sum(shares * np.log(shares))))


def participation_ratio(singular_values: Array) -> float:
    """(sum_k sigma_k^2)^2 / sum_k sigma_k^4."""
    largest = _largest(singular_values)
    if not largest:
        return 0.0
    squares = np.square(np.asarray(singular_values, np.float64) / largest)
    return float(np.sum(squares) ** 2 / np.sum(np.square(squares)))


def stable_rank(singular_values: Array) -> float:
    """sum_k sigma_k^2 / sigma_1^2."""
    largest = _largest(singular_values)
    return float(np.sum(np.square(np.asarray(singular_values, np.float64) / largest))) if largest else 0.0


def _largest(singular_values: Array) -> float:
    return float(np.max(singular_values, initial=0.0))


def _chunks(table: Array, rows: Array | None, weights: Array | None) -> Iterator[Array]:
    """The counted rows in float64, a few million numbers at a time."""
    step = max(1, _CHUNK // max(1, table.shape[1]))
    for start in range(0, len(table), step):
        place = slice(start, start + step)
        chunk = table[place] if rows is None else table[place][rows[place]]
        chunk = np.asarray(chunk, np.float64)
        if weights is not None:
            counts = weights[place] if rows is None else weights[place][rows[place]]
            chunk = chunk * np.sqrt(np.asarray(counts, np.float64))[:, np.newaxis]
        yield chunk


def _check(table: Array, rows: Array | None, weights: Array | None) -> None:
    if table.ndim != 2:
        raise ValueError(f"A table has two axes, rows and width. Received: shape {table.shape}.")
    if rows is not None and (rows.shape != table.shape[:1] or rows.dtype != bool):
        raise ValueError(f"rows must be {table.shape[0]} booleans. Received: {rows.dtype} of shape {rows.shape}.")
    if weights is not None:
        if weights.shape != table.shape[:1]:
            raise ValueError(f"weights must be {table.shape[0]} numbers. Received: shape {weights.shape}.")
        if not np.all(np.isfinite(weights)) or np.any(weights < 0):
            raise ValueError("weights must be finite and not negative.")


def _check_finite(matrix: Array) -> None:
    if not np.all(np.isfinite(matrix)):
        raise ValueError("the table holds values that are not finite: training has diverged, or the file is damaged.")
