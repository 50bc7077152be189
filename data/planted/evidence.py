"""A vector of numbers that speaks for or against a positive: a task for the loss alone, without a table to learn."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import Feature, Vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """A normal vector x, which on half of the rows that training never sees may be longer.

    Effects: `linear`, <w, x>; `bent`, <w, x> + <v, x>^2 / 2. Hidden: `far`, 1 where x is longer.

    Attributes:
      length: Numbers of x.
      reach: How many times longer x is there. With 1 those rows differ in nothing.
    """

    length: int = 8
    reach: float = 1.0

    @property
    def features(self) -> tuple[Feature, ...]:
        """`evidence`."""
        return (Vector(name="evidence", side="ad", length=self.length),)

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws w and v, of length 1."""
        first, second = (each / np.linalg.norm(each) for each in random.normal(size=(2, self.length)))

        def draw(asked: Draw) -> Drawn:
            x = asked.random.normal(size=(asked.rows, self.length))
            far = (asked.random.random(asked.rows) < 0.5) & (asked.split != "train")
            x = np.where(far[:, np.newaxis], self.reach * x, x)
            linear = x @ first
            return Drawn(
                columns={"evidence": x.astype(np.float32)},
                effects={"linear": linear, "bent": linear + 0.5 * np.square(x @ second)},
                hidden={"far": far.astype(np.int64)},
            )

        return draw
