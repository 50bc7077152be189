"""Computes the vector of every node of a graph from all of its neighbours."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse
import tensorflow as tf

from fullrank.layers.content.graph_sage import MeanAggregator
from fullrank.models.graph.bipartite_graph import BipartiteGraph, Ints
from fullrank.models.graph.sage import GraphSage

_CHUNK: Final = 65_536

Vectors = npt.NDArray[np.float32]


def embed(model: GraphSage, graph: BipartiteGraph, *, known: Ints | None = None) -> Vectors:
    """Computes the vectors of a graph, which may be the training graph or one with new edges and nodes (inductive).

    Nothing is sampled: each step takes the mean over all neighbours, layer by layer, in time linear in the edges.

    Args:
      model: A model trained on a graph with the same number of domains.
      graph: The graph of the nodes. A vector contains what its edges contain, so leave out the clicks of the time that
        is to be predicted.
      known: `[nodes]`, the number of each node in the training graph, -1 for a new one; by default the graph has the
        nodes of the training graph.

    Returns:
      `[nodes, width]`, of length 1. A node without neighbours gets a vector from its row alone.

    Raises:
      ValueError: If nodes and numbers do not fit together.
    """
    if known is None:
        if graph.sizes != model.sizes:
            raise ValueError(
                f"The graph has {graph.sizes} users and items, the model was trained on {model.sizes}: give `known`."
            )
        known = np.arange(graph.nodes)
    if known.shape != (graph.nodes,) or (len(known) and not -1 <= known.min() <= known.max() < sum(model.sizes)):
        raise ValueError(
            f"`known` needs a number below {sum(model.sizes)}, or -1, for each of {graph.nodes} nodes. "
            f"Received: shape {known.shape}."
        )
    row = np.where(known < 0, model.new_rows(graph), model.known_rows()[np.maximum(known, 0)])
    state: Vectors = tf.gather(model.table, row).numpy()
    degrees = graph.degrees
    weights = np.repeat((1.0 / np.maximum(degrees, 1)).astype(np.float32), degrees)
    shape = (graph.nodes, graph.nodes)
    mean_of_neighbours = scipy.sparse.csr_matrix((weights, graph.neighbours, graph.offsets), shape=shape)
    for step in (model.first, model.second):
        state = _apply(step, state, mean_of_neighbours @ state)
    return state


def _apply(step: MeanAggregator, state: Vectors, mean: Vectors) -> Vectors:
    def part(at: int) -> Any:
        here = slice(at, at + _CHUNK)
        # A node without neighbours has a mean of zero, as in the layer.
        return step(state[here], mean[here, np.newaxis], np.ones((len(state[here]), 1), bool)).numpy()

    return np.concatenate([part(at) for at in range(0, len(state), _CHUNK)])
