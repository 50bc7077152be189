"""Self-supervised pre-training on the graph of users and clicked items ([Tencent] §3.3).

May import: layers, models/optimizers.
"""

from fullrank.models.graph.batches import edge_batches, sample_neighbours
from fullrank.models.graph.bipartite_graph import BipartiteGraph
from fullrank.models.graph.edge_loss import edge_loss, untrained_loss
from fullrank.models.graph.embed import embed
from fullrank.models.graph.sage import GraphSage
from fullrank.models.graph.train_graph import train_graph

__all__ = [
    "BipartiteGraph",
    "GraphSage",
    "edge_batches",
    "edge_loss",
    "embed",
    "sample_neighbours",
    "train_graph",
    "untrained_loss",
]
