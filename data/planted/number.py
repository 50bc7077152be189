"""Whole numbers with an order: what several numeral systems are made for ([Tencent] §3.2)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Planted
from fullrank.data.schema.features import Feature, IdMap, Numeric, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number:
    """A number x, uniform in 0..2^bits - 1, which records hold twice: as a number, and as an id, `number_id`.

    Effects: `smooth`, a random sum of sines of few periods, so that near numbers have near values; `carry`, bumps
    around multiples of 2^(bits - 3), where all lower binary digits change at once; `digits`, a random weight for each
    binary digit, which base 2 alone expresses; `unordered`, a random value for each number, which only an id knows.

    Attributes:
      bits: Numbers are below 2 to the power of this.
      periods: Most periods of `smooth` over the range.
    """

    bits: int = 12
    periods: int = 6

    @property
    def features(self) -> tuple[Feature, ...]:
        """The number and its id."""
        return (
            Numeric(name="number", side="ad", map="linear", bits=self.bits),
            Sparse(name="number_id", side="ad", ids=IdMap(kind="identity", size=2**self.bits)),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the value of each number by each effect."""
        numbers = np.arange(2**self.bits, dtype=np.int64)
        share = numbers / 2**self.bits
        smooth = np.zeros(len(numbers))
        for period in range(1, self.periods + 1):
            first, second = random.normal(size=2)
            smooth += first * np.sin(2 * np.pi * period * share) + second * np.cos(2 * np.pi * period * share)
        spacing, reach = 2 ** (self.bits - 3), 2 ** (self.bits - 6)
        distance = np.abs((numbers + spacing // 2) % spacing - spacing // 2) / reach
        weights = random.normal(size=self.bits)
        values: dict[str, Floats] = {
            "smooth": smooth,
            "carry": np.exp(-(distance**2)),
            "digits": ((numbers[:, np.newaxis] >> np.arange(self.bits)) & 1) @ weights,
            "unordered": random.normal(size=len(numbers)),
        }

        def draw(asked: Draw) -> Drawn:
            number = asked.random.integers(2**self.bits, size=asked.rows)
            return Drawn(
                columns={"number": number.astype(np.float32), "number_id": number},
                effects={name: value[number] for name, value in values.items()},
            )

        return draw
