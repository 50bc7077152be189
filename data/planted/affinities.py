"""People who may like an ad for any of several reasons: what several embedding sets are made for ([Tencent] §4.2)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affinities:
    """A person u and an ad a with K pairs of latent vectors of rank r, and K affinities s_k = <p_uk, q_ak>.

    Effects: `best`, max_k s_k, which K inner products express and one does not: of K independent normal affinities the
    sum, which is one inner product of width K r, correlates with the largest by 1 / sqrt(K Var max_k s_k), .71 for
    K = 4, and explains 51 % of its variance. `sum`, sum_k s_k, for which one is enough.

    Attributes:
      users: People.
      ads: Ads.
      reasons: K.
      rank: r.
    """

    users: int = 200
    ads: int = 200
    reasons: int = 4
    rank: int = 2

    @property
    def features(self) -> tuple[Feature, ...]:
        """The two ids."""
        return (
            Sparse(name="user_id", side="user", ids=IdMap(kind="identity", size=self.users)),
            Sparse(name="ad_id", side="ad", ids=IdMap(kind="identity", size=self.ads)),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the latent vectors."""
        people = random.normal(size=(self.users, self.reasons, self.rank))
        wanted = random.normal(size=(self.ads, self.reasons, self.rank))

        def draw(asked: Draw) -> Drawn:
            user = asked.random.integers(self.users, size=asked.rows)
            ad = asked.random.integers(self.ads, size=asked.rows)
            affinities = np.einsum("nkr,nkr->nk", people[user], wanted[ad])
            return Drawn(
                columns={"user_id": user, "ad_id": ad},
                effects={"best": affinities.max(axis=1), "sum": affinities.sum(axis=1)},
            )

        return draw
