"""Uniform samples of neighbours, for many nodes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fullrank.models.graph.bipartite_graph import BipartiteGraph, Ints

ABSENT = -1
"""Stands for a neighbour that there is none of."""


def sample_neighbours(
    graph: BipartiteGraph,
    nodes: Ints,
    *,
    count: int,
    draw: np.random.Generator,
    leave_out: npt.NDArray[np.int64] | None = None,
) -> Ints:
    """Draws neighbours uniformly and with repetition, as GraphSAGE does, in time `O(len(nodes) * count)`.

    Args:
      graph: Of users and items.
      nodes: Any shape `[...]`; `ABSENT` has no neighbours.
      count: Draws a node.
      draw: Source of chance.
      leave_out: `[...]`, the place among a node's neighbours of one that must not be drawn; -1 for none.

    Returns:
      `[..., count]`, `ABSENT` throughout for a node without neighbours (but the one left out).
    """
    present = nodes >= 0
    node = np.where(present, nodes, 0)
    start = graph.offsets[node]
    choices = np.where(present, graph.offsets[node + 1] - start, 0)
    if leave_out is not None:
        choices = choices - (leave_out >= 0)
    picked = (draw.random((*nodes.shape, count)) * choices[..., np.newaxis]).astype(np.int64)
    picked = np.minimum(picked, np.maximum(choices - 1, 0)[..., np.newaxis])
    if leave_out is not None:
        skipped = leave_out[..., np.newaxis]
        picked += (skipped >= 0) & (picked >= skipped)
    alone = choices <= 0
    at = np.where(alone[..., np.newaxis], 0, start[..., np.newaxis] + picked)
    if not len(graph.neighbours):
        return np.full(at.shape, ABSENT, np.int64)
    sampled: Ints = np.where(alone[..., np.newaxis], ABSENT, graph.neighbours[at])
    return sampled
