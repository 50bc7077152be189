"""Vectors of people and ads from elsewhere, whose nearness matters: what their similarity is for ([Tencent] §3.3)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.planted.mechanism import Draw, Drawn, Planted, unit
from fullrank.data.schema.features import Feature, Vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedPair:
    """A vector u of a person and v of an ad, both of length 1.

    A pair is drawn with a similarity that is uniform in [-1, 1]. Effects: `near`, sin(3 cos(u, v)), which rises, falls
    and needs the pair; `ad`, <w, v>, for which the ad's own vector is enough.

    Attributes:
      length: Numbers of a vector.
    """

    length: int = 16

    @property
    def features(self) -> tuple[Feature, ...]:
        """The two vectors, declared as a pair."""
        return (
            Vector(name="user_vector", side="user", length=self.length, pair="ad_vector"),
            Vector(name="ad_vector", side="ad", length=self.length),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws w."""
        wanted = random.normal(size=self.length)

        def draw(asked: Draw) -> Drawn:
            user, other = asked.random.normal(size=(2, asked.rows, self.length))
            user = unit(user)
            across = unit(other - np.einsum("nk,nk->n", user, other)[:, np.newaxis] * user)
            cosine = asked.random.uniform(-1.0, 1.0, size=asked.rows)
            ad = cosine[:, np.newaxis] * user + np.sqrt(1.0 - cosine**2)[:, np.newaxis] * across
            return Drawn(
                columns={"user_vector": user.astype(np.float32), "ad_vector": ad.astype(np.float32)},
                effects={"near": np.sin(3.0 * cosine), "ad": ad @ wanted},
            )

        return draw
