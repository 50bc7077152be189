"""Hidden groups of people that show in several fields together: what GSL is made for ([Meta] §3.1)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class HiddenGroups:
    """A person's group g in 0..C-1 that no column holds, fields that depend on it, and the kind of an ad.

    Each field takes one of two values that its group prefers with probability `clarity`, else any. Beside them are
    fields that depend, more clearly, on another group of the person's, which no effect depends on. Effects: `group`, a
    number for each group and kind of ad; `fields`, a number for each value of each field and kind of ad, for which no
    group is needed.

    Hidden: `group`.

    Attributes:
      groups: C.
      fields: Fields of a person.
      values: Values of each.
      kinds: Kinds of ads.
      clarity: How much a field tells about the group; 0 for nothing.
      others: Fields that depend on the other group.
      other_clarity: How much these tell about it.
    """

    groups: int = 8
    fields: int = 8
    values: int = 16
    kinds: int = 10
    clarity: float = 0.7
    others: int = 0
    other_clarity: float = 0.9

    @property
    def features(self) -> tuple[Feature, ...]:
        """`trait_0`, ... and `kind`."""
        names = (f"trait_{number}" for number in range(self.fields + self.others))
        return (
            *(Sparse(name=name, side="user", ids=IdMap(kind="identity", size=self.values)) for name in names),
            Sparse(name="kind", side="ad", ids=IdMap(kind="identity", size=self.kinds)),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws what groups prefer and like."""
        number_of_fields = self.fields + self.others
        preferred = random.integers(self.values, size=(number_of_fields, self.groups, 2))
        liked = random.normal(size=(self.groups, self.kinds))
        worth = random.normal(size=(self.fields, self.values, self.kinds))

        def draw(asked: Draw) -> Drawn:
            generator, rows = asked.random, asked.rows
            group = generator.integers(self.groups, size=rows)
            kind = generator.integers(self.kinds, size=rows)
            other = generator.integers(self.groups, size=rows)
            columns = {"kind": kind}
            fields: Floats = np.zeros(rows)
            for number in range(number_of_fields):
                of_group, clarity = (group, self.clarity) if number < self.fields else (other, self.other_clarity)
                own = preferred[number, of_group, generator.integers(2, size=rows)]
                value = np.where(generator.random(rows) < clarity, own, generator.integers(self.values, size=rows))
                columns[f"trait_{number}"] = value
                if number < self.fields:
                    fields += worth[number, value, kind]
            return Drawn(
                columns=columns,
                effects={"group": liked[group, kind], "fields": fields},
                hidden={"group": group},
            )

        return draw
