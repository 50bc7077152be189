"""An id whose partners ask for one direction each: what makes embeddings collapse ([Tencent] §4.1, §4.4)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Partners:
    """An id with a latent vector z of rank k = `partners`, and as many partners.

    Effects: `one`, sum_j z_j s_j(b_j), so that partner j depends on direction j of z alone, by one number for each of
    its values: embeddings need k directions, but each partner's own spans one; `same`, sum_j z_1 s_j(b_j), so that all
    partners pull at one direction; `full`, sum_j <z, t_j(b_j)> with vectors
    t of rank k, so that every partner spans all directions.

    Attributes:
      size: Ids.
      partners: Partners, and k.
      values: Values of each partner.
    """

    size: int = 1000
    partners: int = 4
    values: int = 50

    @property
    def features(self) -> tuple[Feature, ...]:
        """`id` and `partner_0`, ..."""
        names = (f"partner_{number}" for number in range(self.partners))
        return (
            Sparse(name="id", side="ad", ids=IdMap(kind="identity", size=self.size)),
            *(Sparse(name=name, side="user", ids=IdMap(kind="identity", size=self.values)) for name in names),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the vectors."""
        latent = random.normal(size=(self.size, self.partners))
        scores = random.normal(size=(self.partners, self.values))
        vectors = random.normal(size=(self.partners, self.values, self.partners))

        def draw(asked: Draw) -> Drawn:
            id_ = asked.random.integers(self.size, size=asked.rows)
            values = asked.random.integers(self.values, size=(self.partners, asked.rows))
            one: Floats = np.zeros(asked.rows)
            same: Floats = np.zeros(asked.rows)
            full: Floats = np.zeros(asked.rows)
            for number in range(self.partners):
                one += latent[id_, number] * scores[number, values[number]]
                same += latent[id_, 0] * scores[number, values[number]]
                full += np.einsum("nk,nk->n", latent[id_], vectors[number, values[number]])
            columns = {"id": id_} | {f"partner_{number}": values[number] for number in range(self.partners)}
            return Drawn(columns=columns, effects={"one": one, "same": same, "full": full})

        return draw
