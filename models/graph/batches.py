"""Training batches of a graph: edges, random nodes, and uniform samples of the neighbours of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fullrank.models.graph.bipartite_graph import BipartiteGraph, Ints
from fullrank.models.graph.sage import PADDING, GraphSage

ABSENT = -1
"""Marks an absent neighbour."""


NEGATIVE_POWER = 0.75
"""Negatives are drawn in proportion to degree^0.75, as for word2vec and in the authors' code."""


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
      graph: Graph of users and items.
      nodes: Any shape `[...]`; `ABSENT` has no neighbours.
      count: Draws per node.
      draw: Random generator.
      leave_out: `[...]`, the index among a node's neighbours of one that must not be drawn; -1 for none.

    Returns:
      `[..., count]`, `ABSENT` throughout for a node without neighbours (other than the one left out).
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgeBatch:
    """B edges of one domain and N negatives of each side, as rows of a `GraphSage`.

    The nodes are B users, their B items, N random users and N random items, in this order: n = 2 B + 2 N.

    Attributes:
      edges: B.
      own: `[n]`.
      near: `[n, S1]`.
      far: `[n, S1, S2]`.
      user_pairs: `[B, N]`, whether user b and random item n are not edges.
      item_pairs: `[B, N]`, whether item b and random user n are not edges.
    """

    edges: int
    own: Ints
    near: Ints
    far: Ints
    user_pairs: npt.NDArray[np.bool_]
    item_pairs: npt.NDArray[np.bool_]


def edge_batches(
    graph: BipartiteGraph,
    model: GraphSage,
    *,
    batch_size: int,
    shared_negatives: int,
    neighbours: tuple[int, int],
    id_dropout: float,
    draw: np.random.Generator,
) -> Iterator[EdgeBatch]:
    """One pass over all edges in random order; all edges of a batch belong to one domain, and so do its negatives.

    The edge to be predicted is left out of the neighbourhoods of both its ends; otherwise a node with few neighbours
    would learn that its partner is the node in its sample. Pairs of an end and a random node that are edges
    themselves are marked, because they are not left out.

    Args:
      graph: The training graph, of the model's sizes.
      model: The model, which decides the row that a node reads.
      batch_size: B.
      shared_negatives: N.
      neighbours: S1, S2.
      id_dropout: Share of occurrences in which a node reads the row of new nodes instead of its own.
      draw: Random generator.
    """
    known, new = model.known_rows(), model.new_rows(graph)
    user_weights = np.cumsum(graph.degrees[: graph.sizes[0]] ** NEGATIVE_POWER)
    starts = np.cumsum(graph.sizes)
    domains = np.searchsorted(starts, graph.edges[:, 1], side="right") - 1
    parts: list[tuple[int, Ints]] = []
    for domain in range(len(graph.sizes) - 1):
        edges = draw.permutation(np.flatnonzero(domains == domain))
        parts.extend((domain, edges[at : at + batch_size]) for at in range(0, len(edges), batch_size))
    item_weights = [
        np.cumsum(graph.degrees[starts[d] : starts[d + 1]] ** NEGATIVE_POWER) for d in range(len(graph.sizes) - 1)
    ]

    def rows(nodes: Ints) -> Ints:
        node = np.maximum(nodes, 0)
        row = (
            known[node] if id_dropout == 0 else np.where(draw.random(nodes.shape) < id_dropout, new[node], known[node])
        )
        chosen: Ints = np.where(nodes == ABSENT, PADDING, row)
        return chosen

    for number in draw.permutation(len(parts)):
        domain, edges = parts[number]
        negative_users = _weighted(user_weights, shared_negatives, draw)
        negative_items = starts[domain] + _weighted(item_weights[domain], shared_negatives, draw)
        nodes = np.concatenate([graph.edges[edges].T.ravel(), negative_users, negative_items])
        leave_out = np.concatenate([graph.positions[edges].T.ravel(), np.full(2 * shared_negatives, -1)])
        near = sample_neighbours(graph, nodes, count=neighbours[0], draw=draw, leave_out=leave_out)
        far = sample_neighbours(graph, near, count=neighbours[1], draw=draw)
        users, items = graph.edges[edges].T
        yield EdgeBatch(
            edges=len(edges),
            own=rows(nodes),
            near=rows(near),
            far=rows(far),
            user_pairs=~graph.has_edges(users[:, np.newaxis], negative_items),
            item_pairs=~graph.has_edges(negative_users, items[:, np.newaxis]),
        )


def _weighted(cumulative: npt.NDArray[np.float64], count: int, draw: np.random.Generator) -> Ints:
    found = np.searchsorted(cumulative, draw.random(count) * cumulative[-1], side="right")
    numbers: Ints = np.minimum(found, len(cumulative) - 1)
    return numbers
