"""Fields of two parts, each with a latent vector per part of its partner: what GwPFM is made for ([Tencent] §4.3)."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldParts:
    """Fields of people and fields of ads; value x_i of field i has vectors v_{i,P} of rank k for P = user, ad.

    Effects: `parts`, sum_{i<j} <v_{i,P(j)}, v_{j,P(i)}>, as GwPFM adds up with equal weights; `plain`,
    sum_{i<j} <v_i, v_j> of one vector for all partners, which is FM.

    Attributes:
      fields: Fields of each part.
      size: Number of values of each field.
      rank: k.
    """

    fields: int = 3
    size: int = 200
    rank: int = 4

    @property
    def features(self) -> tuple[Feature, ...]:
        """`user_0`, ... and `ad_0`, ..."""
        return tuple(
            Sparse(name=f"{side}_{number}", side=side, ids=IdMap(kind="identity", size=self.size))
            for side in ("user", "ad")
            for number in range(self.fields)
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the vectors."""
        number = 2 * self.fields
        # [field, part of the partner, value, rank]
        vectors = random.normal(size=(number, 2, self.size, self.rank))
        part = [0] * self.fields + [1] * self.fields

        def draw(asked: Draw) -> Drawn:
            ids = asked.random.integers(self.size, size=(number, asked.rows))
            found = np.stack([vectors[i][:, ids[i]] for i in range(number)])  # [field, part, n, rank]
            parts: Floats = np.zeros(asked.rows)
            for i, j in itertools.combinations(range(number), 2):
                parts += np.einsum("nk,nk->n", found[i, part[j]], found[j, part[i]])
            one = found[:, 0]
            plain = 0.5 * (np.square(one.sum(axis=0)) - np.square(one).sum(axis=0)).sum(axis=1)
            names = [feature.name for feature in self.features]
            return Drawn(columns=dict(zip(names, ids, strict=True)), effects={"parts": parts, "plain": plain})

        return draw
