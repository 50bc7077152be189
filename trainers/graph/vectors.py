"""Writes vectors of ids as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.data.graph_join import UNTIL

VECTOR: Final = "vector"
_ROWS: Final = 100_000


def write_vectors(
    file: Path, *, column: str, ids: npt.NDArray[Any], vectors: npt.NDArray[np.float32], until: int | None
) -> None:
    """Writes a row an id: the id, and its vector as a list of float32.

    Args:
      file: To write.
      column: Name of the id column.
      ids: `[n]`, int64 or bytes. Bytes are written as text unless one of them is not UTF-8.
      vectors: `[n, width]`.
      until: Goes into the metadata, if there is one.

    Raises:
      ValueError: If a vector holds a number that is not finite.
    """
    if not np.isfinite(vectors).all():
        raise ValueError(f"{file.name}: a vector is not finite. Lower the learning rate.")
    keys = _id_array(ids)
    metadata = None if until is None else {UNTIL: str(until)}
    schema = pa.schema([(column, keys.type), (VECTOR, pa.list_(pa.float32()))], metadata=metadata)
    width = vectors.shape[1]
    with pq.ParquetWriter(file, schema) as writer:
        for at in range(0, len(ids), _ROWS):
            part = vectors[at : at + _ROWS]
            offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * width, pa.int32())
            lists = pa.ListArray.from_arrays(offsets, pa.array(part.ravel(), pa.float32()))
            writer.write_batch(pa.record_batch([keys.slice(at, len(part)), lists], schema=schema))


def _id_array(ids: npt.NDArray[Any]) -> pa.Array:
    if ids.dtype != object:
        return pa.array(ids, pa.int64())
    raw = pa.array(ids, pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        return raw
