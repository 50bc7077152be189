"""How rows are divided into train, validation and test: by position in time, or at random by a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def bounds(rows: int) -> dict[str, tuple[int, int]]:
    """Where each split begins and ends: the first 80 % of the rows are train, the next 10 % validation, the rest test.

    Args:
      rows: Number of rows.

    Returns:
      Split name -> (first row, one past the last row).

    Raises:
      ValueError: If a split would be empty.
    """
    if rows < 10:
        raise ValueError(f"{rows} rows are too few to divide 80/10/10: it takes at least 10.")
    edges = [round(edge * rows) for edge in np.cumsum([0.0, *SHARES.values()])]
    return {name: (edges[k], edges[k + 1]) for k, name in enumerate(SHARES)}


def by_position(rows: int) -> dict[str, npt.NDArray[np.int64]]:
    """80/10/10 in the order of the rows, which the caller has sorted by time.

    Args:
      rows: Number of rows.

    Returns:
      Split name -> row positions, in order.

    Raises:
      ValueError: If a split would be empty.
    """
    return {name: np.arange(begin, end, dtype=np.int64) for name, (begin, end) in bounds(rows).items()}


def at_random(rows: int, *, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    """80/10/10 at random, for data without time. The same rows and seed give the same split on every platform.

    Args:
      rows: Number of rows.
      seed: Seed of the permutation.

    Returns:
      Split name -> row positions, ascending within a split.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    return {name: np.sort(order[positions]) for name, positions in by_position(rows).items()}
