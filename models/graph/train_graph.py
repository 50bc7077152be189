"""Trains a GraphSAGE on the edges of a graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from fullrank.models.graph.batches import edge_batches
from fullrank.models.graph.bipartite_graph import BipartiteGraph
from fullrank.models.graph.edge_loss import edge_loss
from fullrank.models.graph.sage import GraphSage
from fullrank.models.optimizers import OptimizerSpec, build_optimizer


def train_graph(
    model: GraphSage,
    graph: BipartiteGraph,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    shared_negatives: int = 64,
    neighbours: tuple[int, int] = (15, 5),
    id_dropout: float = 0.5,
    negatives: float = 5.0,
    temperature: float = 0.2,
    learning_rate: float = 0.01,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Trains in place, with an Adam that updates only the rows that a batch reads.

    Args:
      model: Model of the graph's sizes.
      graph: The training graph.
      epochs: Passes over the edges. The loss stays at `untrained_loss` for some hundred steps before it falls.
      batch_size: Edges per step.
      shared_negatives: Number of random users, and of random items, that are the negatives of all edges of a step.
      neighbours: Neighbours sampled of each node, and of each of those.
      id_dropout: Share of occurrences in which a node is treated as new. Lower values memorise edges, far higher ones
        learn nothing.
      negatives: As in `edge_loss`.
      temperature: As in `edge_loss`.
      learning_rate: Learning rate of all weights.
      seed: Seed of the order of edges and of all samples.
      progress: Whether to show a bar per epoch.

    Returns:
      The mean loss of each epoch.

    Raises:
      ValueError: If the graph has no edge.
    """
    if not len(graph.edges):
        raise ValueError("The graph has no edge to learn from.")
    optimizer = build_optimizer(
        tables=[model.table],
        table_optimizer=OptimizerSpec("lazy_adam", learning_rate),
        dense_optimizer=OptimizerSpec("adam", learning_rate),
    )
    near, far = neighbours
    rows = [tf.TensorSpec(shape, tf.int64) for shape in ([None], [None, near], [None, near, far])]

    pairs = tf.TensorSpec([None, shared_negatives], tf.bool)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32), *rows, pairs, pairs])
    def step(edges: Any, own_rows: Any, near_rows: Any, far_rows: Any, user_pairs: Any, item_pairs: Any) -> Any:
        with tf.GradientTape() as tape:
            vectors = model(own_rows, near_rows, far_rows)
            users, items, negative_users, negative_items = tf.split(
                vectors, tf.stack([edges, edges, shared_negatives, shared_negatives])
            )
            loss = edge_loss(
                users=users,
                items=items,
                negative_users=negative_users,
                negative_items=negative_items,
                user_pairs=user_pairs,
                item_pairs=item_pairs,
                negatives=negatives,
                temperature=temperature,
            )
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    draw = np.random.default_rng(seed)
    losses = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        batches = edge_batches(
            graph,
            model,
            batch_size=batch_size,
            shared_negatives=shared_negatives,
            neighbours=neighbours,
            id_dropout=id_dropout,
            draw=draw,
        )
        with tqdm(
            total=len(graph.edges),
            desc=f"epoch {epoch}/{epochs}",
            unit=" edges",
            unit_scale=True,
            mininterval=1.0,
            disable=not progress,
        ) as bar:
            for batch in batches:
                loss = step(batch.edges, batch.own, batch.near, batch.far, batch.user_pairs, batch.item_pairs)
                total += batch.edges * float(loss)
                bar.update(batch.edges)
                bar.set_postfix(loss=f"{total / bar.n:.4f}" if progress else "", refresh=False)
        losses.append(total / len(graph.edges))
        if not math.isfinite(losses[-1]):
            raise ValueError(f"The loss became {losses[-1]} in epoch {epoch}: lower the learning rate.")
    return losses
