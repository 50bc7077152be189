"""People and ads with latent vectors, one pair of spaces for each interest: entangled tasks ([Tencent] §4.2, §5)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentPairs:
    """A person u and an ad a with latent vectors p_u, q_a of rank k, and others, p'_u, q'_a, independent of them.

    Effects: `first`, <p_u, q_a>; `second`, <p'_u, q'_a>; `opposed`, <p_u, s_a q_a> with s_a = -1 for half of the ads:
    what is near in `first` is far in it; `second_low`, <p'_u, q'_a> over the first two dimensions alone.

    Two tasks of the effects `first` and `second` have the joint rank 2 k; shared embeddings of width k hold only half.

    Attributes:
      users: People.
      ads: Ads.
      rank: k.
    """

    users: int = 500
    ads: int = 500
    rank: int = 4

    @property
    def features(self) -> tuple[Feature, ...]:
        """The two ids."""
        return (
            Sparse(name="user_id", side="user", ids=IdMap(kind="identity", size=self.users)),
            Sparse(name="ad_id", side="ad", ids=IdMap(kind="identity", size=self.ads)),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the latent vectors."""
        people = random.normal(size=(2, self.users, self.rank))
        ads = random.normal(size=(2, self.ads, self.rank))
        sign = np.where(random.random(self.ads) < 0.5, -1.0, 1.0)

        def draw(asked: Draw) -> Drawn:
            user = asked.random.integers(self.users, size=asked.rows)
            ad = asked.random.integers(self.ads, size=asked.rows)
            near: Floats = (people[0, user] * ads[0, ad]).sum(axis=1)
            second = people[1, user] * ads[1, ad]
            return Drawn(
                columns={"user_id": user, "ad_id": ad},
                effects={
                    "first": near,
                    "second": second.sum(axis=1),
                    "opposed": sign[ad] * near,
                    "second_low": second[:, :2].sum(axis=1),
                },
            )

        return draw
