"""Graph pre-training: seconds per epoch, the part of it that draws samples, the vectors of all nodes, and peak memory.

A graph of 1 M clicks of 200,000 users on 50,000 items, users drawn uniformly and items by a steep popularity (a click's
item is the cube of a uniform number, so that a percent of the items has a fifth of the clicks), with the default
settings of the command: vectors of 32, 15 x 5 neighbours, batches of 128 edges. Reading records is left out. Each
figure stands against a bound; an epoch is measured once, because it takes a minute or more, in a process of its own,
whose largest resident size is the memory.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tf_keras as keras

import report
from fullrank.models.graph import BipartiteGraph, GraphSage, edge_batches, embed, train_graph

FIGURES = (("epoch", "s", 300.0), ("samples", "s", None), ("embed", "s", 30.0), ("memory", "GB", 2.0))
"""Figure, unit and bound."""


def measured(clicks: int) -> dict[str, float]:
    """The figures for one size, and how many distinct edges there are."""
    users, items = clicks // 5, clicks // 20
    draw = np.random.default_rng(5)
    pairs = draw.integers(0, users, clicks), (items * draw.random(clicks) ** 3).astype(np.int64)
    graph = BipartiteGraph.from_clicks([pairs], users=users, items=[items])
    keras.utils.set_random_seed(5)
    model = GraphSage(graph.sizes)
    # A first epoch on little traces the step's operations and warms the caches.
    few = BipartiteGraph.from_clicks([(pairs[0][:2000], pairs[1][:2000])], users=users, items=[items])
    train_graph(model, few, epochs=1, progress=False)
    found = {"edges": float(len(graph.edges))}

    start = time.perf_counter()
    train_graph(model, graph, epochs=1)
    found["epoch"] = time.perf_counter() - start

    start = time.perf_counter()
    options = {"batch_size": 128, "shared_negatives": 64, "neighbours": (15, 5), "id_dropout": 0.5}
    for _ in edge_batches(graph, model, draw=draw, **options):  # type: ignore[arg-type]
        pass
    found["samples"] = time.perf_counter() - start

    start = time.perf_counter()
    embed(model, graph)
    found["embed"] = time.perf_counter() - start
    found["memory"] = report.peak_memory() / 1e9
    return found


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measured(int(sys.argv[2]))))
        return
    options = report.arguments("Time and memory of pre-training on a graph of clicks.")
    clicks = 20_000 if options.quick else 1_000_000
    found = report.in_child(__file__, clicks)
    rows = report.bounded(found, FIGURES, size=f"{found['edges']:,.0f} edges")
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
