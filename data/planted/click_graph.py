"""People and ads that a graph of earlier clicks connects: what pretraining on a graph is made for ([Tencent] §3.3)."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fullrank.data.planted.mechanism import Draw, Drawn, Floats, Ints, Planted
from fullrank.data.schema.features import Feature, IdMap, Sparse, Vector


class GraphVectors(Protocol):
    """Makes vectors of what clicks connect; its `repr` names everything that they depend on."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def __call__(
        self, clicks: tuple[Ints, Ints], *, users: int, ads: int, seed: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Vectors `[users, width]` and `[ads, width]` from the user and the ad of each click."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClickGraph:
    """A person u and an ad a with latent vectors p_u and q_a, ids, and vectors made of earlier clicks.

    Columns named `shuffled_...` are the same vectors in the order of other people and ads, so that they tell nothing. A
    model that reads them has as many inputs as one that reads the true vectors, and differs only in what these tell.

    Each person has clicked ads, drawn with probabilities softmax_a(sharpness <p_u, q_a> / sqrt(rank)).

    Effects: `affinity`, <p_u, q_a>.

    Attributes:
      embed: Makes the vectors.
      users: People.
      ads: Ads.
      rank: Length of latent vectors.
      clicks: Earlier clicks of each person.
      sharpness: How much they tell about the affinity; 0 for nothing.
    """

    embed: GraphVectors
    users: int = 4000
    ads: int = 400
    rank: int = 4
    clicks: int = 15
    sharpness: float = 2.0

    @property
    def features(self) -> tuple[Feature, ...]:
        """The two ids, and the two vectors as a pair, true and shuffled."""
        length = self.embed.width
        return (
            Sparse(name="user_id", side="user", ids=IdMap(kind="identity", size=self.users)),
            Sparse(name="ad_id", side="ad", ids=IdMap(kind="identity", size=self.ads)),
            Vector(name="user_vector", side="user", length=length, pair="ad_vector"),
            Vector(name="ad_vector", side="ad", length=length),
            Vector(name="shuffled_user_vector", side="user", length=length, pair="shuffled_ad_vector"),
            Vector(name="shuffled_ad_vector", side="ad", length=length),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws the latent vectors and the clicks, and makes the vectors from the clicks."""
        people = random.normal(size=(self.users, self.rank))
        wanted = random.normal(size=(self.ads, self.rank))
        affinity = people @ wanted.T
        # The largest logit plus Gumbel noise is a draw from their softmax, the largest few are draws without return.
        noisy: Floats = self.sharpness * affinity / np.sqrt(self.rank) + random.gumbel(size=affinity.shape)
        clicked = np.argpartition(-noisy, self.clicks, axis=1)[:, : self.clicks]
        of_users = np.repeat(np.arange(self.users), self.clicks)
        seed = int(random.integers(2**31))
        clicks = (of_users, clicked.reshape(-1).astype(np.int64))
        user_vectors, ad_vectors = self.embed(clicks, users=self.users, ads=self.ads, seed=seed)

        other_users, other_ads = random.permutation(self.users), random.permutation(self.ads)

        def draw(asked: Draw) -> Drawn:
            user = asked.random.integers(self.users, size=asked.rows)
            ad = asked.random.integers(self.ads, size=asked.rows)
            return Drawn(
                columns={
                    "user_id": user,
                    "ad_id": ad,
                    "user_vector": user_vectors[user],
                    "ad_vector": ad_vectors[ad],
                    "shuffled_user_vector": user_vectors[other_users[user]],
                    "shuffled_ad_vector": ad_vectors[other_ads[ad]],
                },
                effects={"affinity": affinity[user, ad]},
            )

        return draw
