"""Vectors of planted people and ads by GraphSAGE on their earlier clicks ([Tencent] §3.3)."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SageVectors:
    """Trains a GraphSAGE for each seed, once in a process.

    Attributes:
      width: Length of a vector.
      epochs: Passes over the clicks.
      batch_size: Clicks per step.
    """

    width: int = 16
    epochs: int = 8
    batch_size: int = 256

    def __call__(self, clicks: tuple[Ints, Ints], *, users: int, ads: int, seed: int) -> tuple[Vectors, Vectors]:
        """Vectors `[users, width]` and `[ads, width]`, of length 1, from the user and the ad of each click."""
        frozen = tuple(np.ascontiguousarray(each).tobytes() for each in clicks)
        vectors: tuple[Vectors, Vectors] = _trained(self, *frozen, users, ads, seed)
        return vectors


@functools.lru_cache(maxsize=8)
def _trained(how: SageVectors, of_users: bytes, of_ads: bytes, users: int, ads: int, seed: int) -> Any:
    from fullrank.layers.legacy_keras import keras
    from fullrank.models.graph import BipartiteGraph, GraphSage, embed, train_graph

    clicks = (np.frombuffer(of_users, np.int64), np.frombuffer(of_ads, np.int64))
    graph = BipartiteGraph.from_clicks([clicks], users=users, items=[ads])
    keras.utils.set_random_seed(seed)
    model = GraphSage(graph.sizes, width=how.width)
    train_graph(model, graph, epochs=how.epochs, batch_size=how.batch_size, seed=seed, progress=False)
    vectors = embed(model, graph)
    return vectors[:users], vectors[users:]
