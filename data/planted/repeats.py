"""Ads that are shown again and again, some placements more than others: what exposure weights are made for.

[Tencent] §6.2.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse, Vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repeats:
    """Exposures in a placement, a share of which repeat an earlier one, with a normal vector x for interest.

    Extras: `repeat_count` and `repeat_gap_days`, as `convert --exposures` writes them. Hidden: `fresh`, 1 for a first
    exposure.

    Effects: `interest`, <w, x>.

    Attributes:
      placements: Placements.
      spread: How much placements differ in their share of repeats, which is uniform in (1 +- spread) / 2; with 0 no
        feature tells what is a repeat.
      most: Most earlier exposures.
      length: Numbers of x.
    """

    placements: int = 20
    spread: float = 0.9
    most: int = 8
    length: int = 8

    @property
    def features(self) -> tuple[Feature, ...]:
        """`placement` and `interest`."""
        return (
            Sparse(name="placement", side="context", ids=IdMap(kind="identity", size=self.placements)),
            Vector(name="interest", side="user", length=self.length),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the placements' shares of repeats, and w of length 1."""
        shares = 0.5 + 0.5 * self.spread * random.uniform(-1.0, 1.0, size=self.placements)
        wanted = random.normal(size=self.length)
        wanted /= np.linalg.norm(wanted)

        def draw(asked: Draw) -> Drawn:
            generator, rows = asked.random, asked.rows
            placement = generator.integers(self.placements, size=rows)
            repeated = generator.random(rows) < shares[placement]
            count = np.where(repeated, generator.integers(1, self.most + 1, size=rows), 0)
            gap = np.where(repeated, generator.exponential(size=rows), 0.0)
            x = generator.normal(size=(rows, self.length))
            return Drawn(
                columns={"placement": placement, "interest": x.astype(np.float32)},
                extras={"repeat_count": count.astype(np.float32), "repeat_gap_days": gap.astype(np.float32)},
                effects={"interest": x @ wanted},
                hidden={"fresh": (~repeated).astype(np.int64)},
            )

        return draw
