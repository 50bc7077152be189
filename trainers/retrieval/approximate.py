"""Approximate search by faiss, which is not installed by default.

Of the well-kept libraries faiss-cpu needs NumPy alone, and its one wheel fits every Python; usearch brings a library of
kernels of its own, and voyager knows one kind of index. TensorFlow Recommenders' own choice, ScaNN, does not load next
to this version of TensorFlow.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FILE: Final = "index.faiss"
_NEIGHBOURS: Final = 32
_BUILDING: Final = 80


def require_faiss() -> Any:
    """The module.

    Raises:
      ValueError: If it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ValueError("--approximate needs faiss: pip install 'fullrank[ann]'.") from error


def write_approximate(vectors: npt.NDArray[np.float32], file: Path) -> None:
    """Writes a graph of small worlds (HNSW) for inner products of vectors `[N, D]`."""
    faiss = require_faiss()
    index = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _BUILDING
    index.add(np.ascontiguousarray(vectors, np.float32))
    faiss.write_index(index, str(file))


class ApproximateIndex:
    """Searches what `write_approximate` wrote.

    Args:
      file: The file.
      effort: Candidates that a search keeps; more find more of the true neighbours, and take longer.
    """

    def __init__(self, file: Path, *, effort: int = 256) -> None:
        faiss = require_faiss()
        self._index = faiss.read_index(str(file))
        self._index.hnsw.efSearch = effort

    def search(
        self, queries: npt.NDArray[np.float32], *, at: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores and places of the first K ads, `[B, K]` each; a place is -1 where fewer were found."""
        scores, places = self._index.search(np.ascontiguousarray(queries, np.float32), at)
        return scores, places
