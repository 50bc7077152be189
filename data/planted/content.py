"""Ads that are like others of a content, and new ones: what HashID is made for ([Tencent] §3.2)."""

from __future__ import annotations

import dataclasses

import numpy as np

from fullrank.data.content.sign_bits import hash_vectors
from fullrank.data.planted.mechanism import Draw, Drawn, Planted, unit
from fullrank.data.schema.features import Bits, Feature, IdMap, Sparse, Vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """Ads, each with a content vector near one of a few centres, its HashID and an id.

    Training shows the first ads alone; half of the rows of the other splits are of ads that it never shows.

    Effects: `content`, a number for each centre, so that what is known of an ad's like holds for the ad; `own`, a
    number for each ad, of which nothing can be known of a new one.

    Hidden: `new`, 1 for an ad that training never shows.

    Attributes:
      ads: Ads.
      new: Ads that training never shows.
      centres: Centres.
      length: Numbers of a content vector.
      bits: Bits of its HashID.
      spread: Distance of a content from its centre, where centres have length 1.
    """

    ads: int = 5000
    new: int = 1000
    centres: int = 100
    length: int = 16
    bits: int = 32
    spread: float = 0.2

    @property
    def features(self) -> tuple[Feature, ...]:
        """The id, the HashID and the vector."""
        return (
            Sparse(name="ad_id", side="ad", ids=IdMap(kind="identity", size=self.ads)),
            Bits(name="content_bits", side="ad", length=self.bits),
            Vector(name="content", side="ad", length=self.length),
        )

    def plant(self, random: np.random.Generator) -> Planted:
        """Draws centres, contents and what ads are worth."""
        centres = unit(random.normal(size=(self.centres, self.length)))
        centre = random.integers(self.centres, size=self.ads)
        noise = random.normal(size=(self.ads, self.length)) / np.sqrt(self.length)
        content = unit(centres[centre] + self.spread * noise)
        bits = hash_vectors(content, bits=self.bits, seed=0).astype(np.int64)
        worth, own = random.normal(size=self.centres)[centre], random.normal(size=self.ads)
        known = self.ads - self.new

        def draw(asked: Draw) -> Drawn:
            ad = asked.random.integers(known, size=asked.rows)
            if asked.split != "train":
                new = asked.random.integers(known, self.ads, size=asked.rows)
                ad = np.where(asked.random.random(asked.rows) < 0.5, new, ad)
            return Drawn(
                columns={"ad_id": ad, "content_bits": bits[ad], "content": content[ad].astype(np.float32)},
                effects={"content": worth[ad], "own": own[ad]},
                hidden={"new": (ad >= known).astype(np.int64)},
            )

        return draw
