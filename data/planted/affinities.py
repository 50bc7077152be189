"""People who like an ad for another reason in another context: what several embedding sets are for ([Tencent] §4.2)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affinities:
    """A person u and an ad a with K pairs of latent vectors of rank r, K affinities s_k = <p_uk, q_ak>, and a context.

    Effects: `chosen`, s_c of the context c, which K inner products express and one does not: what does not know c is
    best off with the mean of the s_k, one inner product of width K r, which explains 1 / K of the variance. `sum`,
    sum_k s_k, for which one is enough.

    Attributes:
      users: People.
      ads: Ads.
      reasons: K, and the number of contexts.
      rank: r.
    """

    users: int = 200
    ads: int = 200
    reasons: int = 4
    rank: int = 2

    @property
    def features(self) -> tuple[Feature, ...]:
        """The two ids and the context."""
        return (
            Sparse(name="user_id", side="user", ids=IdMap(kind="identity", size=self.users)),
            Sparse(name="ad_id", side="ad", ids=IdMap(kind="identity", size=self.ads)),
            Sparse(name="context", side="context", ids=IdMap(kind="identity", size=self.reasons)),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the latent vectors."""
        people = random.normal(size=(self.users, self.reasons, self.rank))
        wanted = random.normal(size=(self.ads, self.reasons, self.rank))

        def draw(asked: Draw) -> Drawn:
            user = asked.random.integers(self.users, size=asked.rows)
            ad = asked.random.integers(self.ads, size=asked.rows)
            context = asked.random.integers(self.reasons, size=asked.rows)
            affinities = np.einsum("nkr,nkr->nk", people[user], wanted[ad])
            return Drawn(
                columns={"user_id": user, "ad_id": ad, "context": context},
                effects={"chosen": affinities[np.arange(asked.rows), context], "sum": affinities.sum(axis=1)},
            )

        return draw
