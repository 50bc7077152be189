"""How much nearer the ends of a click stand when the click itself is in the graph."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.models.graph import BipartiteGraph

_PAIRS: Final = 100_000

Ints = npt.NDArray[np.int64]


def told_apart(vectors: npt.NDArray[np.float32], users: Ints, items: Ints, *, seed: int) -> float | None:
    """How often a clicked item is nearer to its user than the item of another of these clicks; ties count half.

    The other item is as popular, so popularity alone gives 0.5.

    Args:
      vectors: `[nodes, width]`.
      users: Node of each click's user, `[n]`.
      items: Node of each click's item, `[n]`.
      seed: Of the choice of pairs.

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
    """`told_apart` of the first domain's clicks in the graph, and of later ones between its nodes.

    Args:
      vectors: `[nodes, width]`.
      graph: What they were learned on.
      later: User and item node of later clicks, those of pairs that are edges among them, `[m]` each.
      seed: Of the choice of pairs.
    """
    first = graph.edges[graph.edges[:, 1] < graph.sizes[0] + graph.sizes[1]]
    users, items = later
    edge = np.isin(users * graph.nodes + items, first[:, 0] * graph.nodes + first[:, 1])
    return {
        "in_graph": told_apart(vectors, first[:, 0], first[:, 1], seed=seed),
        "later": told_apart(vectors, users[~edge], items[~edge], seed=seed),
        "later_clicks": int((~edge).sum()),
    }
