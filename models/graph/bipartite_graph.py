"""The graph of users and the items they clicked, as one array of neighbours."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """An undirected graph between users and the items of one or several domains, without repeated edges.

    Nodes are numbered consecutively: all users, the items of the first domain, those of the second and so on. The
    neighbours of node v are `neighbours[offsets[v]:offsets[v + 1]]`, in ascending order (compressed sparse rows).

    Attributes:
      sizes: Number of users, of items of the first domain, of the second, ...
      edges: `[E, 2]`, distinct pairs (user node, item node), in ascending order.
      offsets: `[nodes + 1]`.
      neighbours: `[2 E]`, first the items of every user, then the users of every item.
      positions: `[E, 2]`, the index of an edge among the neighbours of its user and among those of its item, from 0.
    """

    sizes: tuple[int, ...]
    edges: Ints
    offsets: Ints
    neighbours: Ints
    positions: Ints

    @classmethod
    def from_clicks(cls, clicks: Sequence[tuple[Ints, Ints]], *, users: int, items: Sequence[int]) -> BipartiteGraph:
        """Builds the graph of clicks.

        Args:
          clicks: For each domain the user `[n]` and the item `[n]` of each click, both counted from 0 within users and
            within the domain's items. A pair that occurs several times is one edge.
          users: Number of users.
          items: Number of items per domain.

        Raises:
          ValueError: If a number is out of range, or the numbers of domains and of sizes differ.
        """
        if len(clicks) != len(items):
            raise ValueError(f"Received clicks of {len(clicks)} domains and items of {len(items)}.")
        starts = users + np.concatenate([[0], np.cumsum(items)]).astype(np.int64)
        nodes = int(starts[-1])
        for domain, (user, item) in enumerate(clicks):
            for what, numbers, size in (("user", user, users), ("item", item, items[domain])):
                if len(numbers) and not 0 <= numbers.min() <= numbers.max() < size:
                    raise ValueError(f"Domain {domain}: {what} number outside 0..{size - 1}.")
        codes = [user.astype(np.int64) * nodes + starts[d] + item for d, (user, item) in enumerate(clicks)]
        user, item = np.divmod(np.unique(np.concatenate([np.empty(0, np.int64), *codes])), max(nodes, 1))
        by_item = np.argsort(item, kind="stable")
        degrees = np.bincount(user, minlength=nodes) + np.bincount(item, minlength=nodes)
        offsets = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
        edge = np.arange(len(user), dtype=np.int64)
        positions = np.stack([edge - offsets[user], np.empty_like(edge)], axis=1)
        positions[by_item, 1] = edge + len(user) - offsets[item[by_item]]
        return cls(
            sizes=(users, *items),
            edges=np.stack([user, item], axis=1),
            offsets=offsets,
            neighbours=np.concatenate([item, user[by_item]]),
            positions=positions,
        )

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.offsets) - 1

    @property
    def degrees(self) -> Ints:
        """Neighbours of each node, `[nodes]`."""
        return np.diff(self.offsets)

    @property
    def types(self) -> Ints:
        """0 for a user, 1 for an item of the first domain, 2 for one of the second, ...: `[nodes]`."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @functools.cached_property
    def _codes(self) -> Ints:
        codes: Ints = self.edges[:, 0] * self.nodes + self.edges[:, 1]
        return codes

    def has_edges(self, users: Ints, items: Ints) -> npt.NDArray[np.bool_]:
        """Whether user and item nodes, of shapes that broadcast, are linked; takes `O(log E)` per pair."""
        codes = users * self.nodes + items
        if not len(self._codes):
            return np.zeros(codes.shape, np.bool_)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        found: npt.NDArray[np.bool_] = self._codes[at] == codes
        return found
