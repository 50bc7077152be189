"""Evidence that counts in one region and not in another: what metrics of segments are made for ([Meta] §4)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse, Vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class Region:
    """A normal vector x, and a region of two, one of which has a small share of the rows.

    Hidden: `inside`, 1 for rows of the small region. Effects: `inside`, <w, x> in it and 0 elsewhere; `outside`, <w, x>
    elsewhere and 0 in it.

    Attributes:
      length: Numbers of x.
      share: Share of the rows that lie in the small region.
    """

    length: int = 8
    share: float = 0.2

    @property
    def features(self) -> tuple[Feature, ...]:
        """`region` and `regional`."""
        return (
            Sparse(name="region", side="user", ids=IdMap(kind="identity", size=2)),
            Vector(name="regional", side="ad", length=self.length),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws w, of length 1."""
        wanted = random.normal(size=self.length)
        wanted /= np.linalg.norm(wanted)

        def draw(asked: Draw) -> Drawn:
            inside = asked.random.random(asked.rows) < self.share
            x = asked.random.normal(size=(asked.rows, self.length))
            value = x @ wanted
            return Drawn(
                columns={"region": inside.astype(np.int64), "regional": x.astype(np.float32)},
                effects={"inside": np.where(inside, value, 0.0), "outside": np.where(inside, 0.0, value)},
                hidden={"inside": inside.astype(np.int64)},
            )

        return draw
