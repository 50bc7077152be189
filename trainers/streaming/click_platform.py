"""A simulated platform whose clicks convert late: ads of many advertisers, half of which start within the stream."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Final

import numpy as np

from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.ragged import Columns
from fullrank.data.schema.schema import Schema
from fullrank.trainers.streaming.training_rows import DAY

START: Final = 1_700_000_000
_SIZES: Final = {"segment": 20, "device": 5, "hour": 24, "category": 30}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Platform:
    """The settings of the simulation; a seed draws everything else.

    A click of segment g on ad a of advertiser v and category k converts with probability

        sigma(logit(rate) + .5 S[g, k] + .5 V[v] + .7 A[a] + .2 T[device] + .2 H[hour])

    with standard normal S, V, A, T and H. An ad runs from its start for `life` days; half of the ads start within the
    stream. While an ad runs, its share of the clicks is log-normal.

    Attributes:
      clicks: Number of clicks.
      days: Length of the stream.
      ads: Number of ads.
      advertisers: Number of advertisers.
      life: Days for which an ad runs.
      rate: Conversion rate of an average click.
    """

    clicks: int = 1_000_000
    days: float = 28.0
    ads: int = 1500
    advertisers: int = 80
    life: float = 14.0
    rate: float = 0.05

    def schema(self) -> Schema:
        """The columns of a click; ids are whole numbers from 0."""
        sizes = {"ad": self.ads, "advertiser": self.advertisers, **_SIZES}
        sides: dict[str, Any] = {"ad": "ad", "advertiser": "ad", "category": "ad", "hour": "context"}
        return Schema(
            name="click_platform",
            features=tuple(
                Sparse(name=name, side=sides.get(name, "user"), ids=IdMap(kind="identity", size=size))
                for name, size in sizes.items()
            ),
            labels=(Label(name="conversion", mean=self.rate),),
            time="time",
        )

    def draw(self, seed: int) -> Columns:
        """The clicks in order of time, with labels from the future."""
        draw = np.random.default_rng(seed)
        starts = np.where(
            draw.random(self.ads) < 0.5, draw.random(self.ads) * self.days, -draw.random(self.ads) * self.life
        )
        popularity = draw.lognormal(0.0, 1.0, self.ads)
        advertiser, category = draw.integers(0, self.advertisers, self.ads), draw.integers(0, 30, self.ads)
        time = np.sort(draw.random(self.clicks)) * self.days
        ad = np.empty(self.clicks, np.int64)
        edges = np.searchsorted(time, np.arange(0.0, self.days + 0.25, 0.25))
        for window, (first, last) in enumerate(itertools.pairwise(edges)):  # six hours, with the ads of their start
            now = 0.25 * window
            runs = (starts <= now) & (now < starts + self.life)
            ad[first:last] = draw.choice(self.ads, last - first, p=popularity * runs / (popularity * runs).sum())
        user = {name: draw.integers(0, _SIZES[name], self.clicks) for name in ("segment", "device")}
        hour = np.floor(time * 24.0).astype(np.int64) % 24
        taste, of_advertiser, of_ad = (draw.standard_normal(n) for n in ((20, 30), self.advertisers, self.ads))
        of_device, of_hour = draw.standard_normal(5), draw.standard_normal(24)
        logit = np.log(self.rate / (1.0 - self.rate)) + (
            0.5 * taste[user["segment"], category[ad]]
            + 0.5 * of_advertiser[advertiser[ad]]
            + 0.7 * of_ad[ad]
            + 0.2 * of_device[user["device"]]
            + 0.2 * of_hour[hour]
        )
        return {
            "ad": ad,
            "advertiser": advertiser[ad],
            **user,
            "hour": hour,
            "category": category[ad],
            "conversion": (draw.random(self.clicks) < 1.0 / (1.0 + np.exp(-logit))).astype(np.float32),
            "time": START + np.floor(time * DAY).astype(np.int64),
        }
