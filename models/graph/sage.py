"""Two-layer GraphSAGE over a graph of users and items."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.content.graph_sage import MeanAggregator
from fullrank.models.graph.bipartite_graph import BipartiteGraph, Ints

PADDING: Final = 0
"""Row of an absent neighbour. It is masked, so it is never trained."""
_BUCKETS: Final = 32


@keras.saving.register_keras_serializable(package="fullrank")
class GraphSage(keras.Model):
    """Computes a node's vector from samples of its neighbours and of their neighbours (Hamilton et al. 2017).

        h0 = a row of a table
        h1 = MeanAggregator(h0 of the node, h0 of its neighbours)             relu
        z  = MeanAggregator(h1 of the node, h1 of its neighbours)             linear

    The initial state of a node, h0:

    * a node known in training has a row of its own;
    * a node that is *new* reads a row shared by all new nodes of its type (user, item of a domain) with about as many
      neighbours: one row for each floor(log2(1 + degree)).

    A node's own row says nothing about new nodes, so training sometimes replaces it by the shared one (id dropout, see
    `edge_batches`): that trains the shared rows, and makes the neighbours represent a node. Both steps are shared by
    users and items, which only the table distinguishes.

    Call arguments, rows of the table as `edge_batches` makes them:
      own: `[n]`, the nodes.
      near: `[n, S1]`, their neighbours; `PADDING` where there is none.
      far: `[n, S1, S2]`, the neighbours' neighbours; likewise.

    Returns:
      `[n, width]`, of length 1.

    Args:
      sizes: Number of users, of items of the first domain, ..., as in `BipartiteGraph.sizes`.
      width: Width of rows, hidden states and vectors.
    """

    def __init__(self, sizes: tuple[int, ...], *, width: int = 32, name: str | None = None) -> None:
        super().__init__(name=name)
        self.sizes, self.width = tuple(int(size) for size in sizes), width
        self.table = self.add_weight(
            name="table",
            shape=(1 + sum(self.sizes) + _BUCKETS * len(self.sizes), width),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
        )
        self.first = MeanAggregator(width, name="first")
        self.second = MeanAggregator(width, activation="linear", name="second")
        for step in (self.first, self.second):
            step.build((None, width))

    def build(self, input_shape: Any) -> None:
        """Does nothing: Keras would call the model on numbers that are not rows."""
        self.built = True

    def call(self, own: tf.Tensor, near: tf.Tensor, far: tf.Tensor) -> tf.Tensor:
        """Returns vectors, `[n, width]`."""
        own_state, near_state, far_state = (tf.gather(self.table, rows) for rows in (own, near, far))
        near_mask = tf.not_equal(near, PADDING)
        own_hidden = self.first(own_state, near_state, near_mask)
        near_hidden = self.first(near_state, far_state, tf.not_equal(far, PADDING))
        return self.second(own_hidden, near_hidden, near_mask)

    def known_rows(self) -> Ints:
        """The row of each node of the training graph, `[nodes]`."""
        return np.arange(1, 1 + sum(self.sizes), dtype=np.int64)

    def new_rows(self, graph: BipartiteGraph) -> Ints:
        """The row that each node of a graph reads if it is new, `[nodes]`.

        Raises:
          ValueError: If the graph has a different number of domains.
        """
        if len(graph.sizes) != len(self.sizes):
            raise ValueError(
                f"The graph has items of {len(graph.sizes) - 1} domains, the model those of {len(self.sizes) - 1}."
            )
        bucket = np.floor(np.log2(1 + graph.degrees)).astype(np.int64)
        rows: Ints = 1 + sum(self.sizes) + graph.types * _BUCKETS + np.minimum(bucket, _BUCKETS - 1)
        return rows

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"sizes": self.sizes, "width": self.width, "name": self.name}
