"""Writes vectors of ids as Parquet, and measures how being in the graph affects the distance of a click's ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fullrank.data.sources.graph_join import UNTIL
from fullrank.models.graph import BipartiteGraph

VECTOR: Final = "vector"
_ROWS: Final = 100_000
_PAIRS: Final = 100_000
Ints = npt.NDArray[np.int64]


def write_vectors(
    file: Path, *, column: str, ids: npt.NDArray[Any], vectors: npt.NDArray[np.float32], until: int | None
) -> None:
    """Writes one row per id: the id, and its vector as a list of float32.

    Args:
      file: The file to write.
      column: Name of the id column.
      ids: `[n]`, int64 or bytes. Bytes are written as text unless one of them is not UTF-8.
      vectors: `[n, width]`.
      until: Time written into the metadata; `None` for none.

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


def told_apart(vectors: npt.NDArray[np.float32], users: Ints, items: Ints, *, seed: int) -> float | None:
    """The share of clicks whose item is nearer to the user than the item of another click; ties count half.

    The other item is equally popular on average, so popularity alone gives 0.5.

    Args:
      vectors: `[nodes, width]`.
      users: Node of each click's user, `[n]`.
      items: Node of each click's item, `[n]`.
      seed: Seed of the choice of pairs.

    Returns:
      A share; `None` if all clicks are of one item.
    """
    draw = np.random.default_rng(seed)
    click = draw.integers(0, max(len(users), 1), _PAIRS if len(users) else 0)
    other = draw.integers(0, max(len(users), 1), len(click))
    differ = items[click] != items[other]
    click, other = click[differ], other[differ]
    if not len(click):
        return None
    own = vectors[users[click]]
    gap = np.einsum("nd,nd->n", own, vectors[items[click]] - vectors[items[other]])
    return float(np.mean(gap > 0) + np.mean(gap == 0) / 2)


def inflation(
    vectors: npt.NDArray[np.float32], graph: BipartiteGraph, later: tuple[Ints, Ints], *, seed: int
) -> dict[str, Any]:
    """`told_apart` of the first domain's clicks in the graph, and of later clicks between its nodes.

    Args:
      vectors: `[nodes, width]`.
      graph: The graph that they were learned on.
      later: User and item node of later clicks, including pairs that are edges, `[m]` each.
      seed: Seed of the choice of pairs.
    """
    first = graph.edges[graph.edges[:, 1] < graph.sizes[0] + graph.sizes[1]]
    users, items = later
    edge = np.isin(users * graph.nodes + items, first[:, 0] * graph.nodes + first[:, 1])
    return {
        "in_graph": told_apart(vectors, first[:, 0], first[:, 1], seed=seed),
        "later": told_apart(vectors, users[~edge], items[~edge], seed=seed),
        "later_clicks": int((~edge).sum()),
    }
