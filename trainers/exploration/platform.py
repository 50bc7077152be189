"""A simulated ad platform: ads come and go, and the true click rates are known (for [Tencent] §6.4)."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlatformConfig:
    """Sizes and strengths.

    Attributes:
      rounds: Rounds; after each the policy learns from its clicks.
      requests: Requests per round.
      candidates: Ads among which a request chooses one.
      first_ads: Ads at the start.
      new_ads: Ads that arrive in each later round.
      lifetime: Rounds that an ad stays.
      segments: Segments of users.
      content: Width of the ads' content vectors.
      base_rate: Click rate of an average ad.
      appeal: Standard deviation of the logit's part that content and segment explain together.
      quality: Standard deviation of the ad's own part of the logit, which only showing the ad can reveal.
      bid_spread: Standard deviation of the log of the bids, which have median 1.
    """

    rounds: int = 40
    requests: int = 200
    candidates: int = 10
    first_ads: int = 40
    new_ads: int = 4
    lifetime: int = 20
    segments: int = 4
    content: int = 4
    base_rate: float = 0.05
    appeal: float = 0.6
    quality: float = 1.0
    bid_spread: float = 0.3

    def __post_init__(self) -> None:
        """Validates the settings."""
        for name in ("rounds", "requests", "candidates", "first_ads", "lifetime", "segments", "content"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        if not 0 < self.base_rate < 1:
            raise ValueError(f"base_rate must lie between 0 and 1, both excluded. Received: {self.base_rate}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requests:
    """The requests of a round.

    Attributes:
      segments: `[R]`, of each request's user.
      candidates: `[R, C]`, numbers of ads, each at most once per request.
      luck: `[R, C]` in [0, 1): an ad that is shown is clicked if this is below its rate. So policies that show the same
        ad see the same click, and differences between them are not chance.
    """

    segments: Ints
    candidates: Ints
    luck: Floats


class AdPlatform:
    """The world, drawn from a seed; policies do not change it.

    The click rate of ad a in segment g is `sigma(logit(base_rate) + appeal <w_g, c_a> / sqrt(k) + quality e_a)`, with
    `w_g`, content `c_a` and `e_a` standard normal. A policy may know segments, content and bids.

    Attributes:
      config: Sizes and strengths.
      arrival: `[A]`, the round in which each ad arrives.
      content: `[A, k]`.
      bids: `[A]`, price of a click.
      rates: `[A, G]`, true click rates.

    Args:
      config: Sizes and strengths.
      seed: Seed of everything.
    """

    def __init__(self, config: PlatformConfig, *, seed: int) -> None:
        draw = np.random.default_rng((seed, 0))
        later = np.repeat(np.arange(1, config.rounds), config.new_ads)
        first = -draw.integers(0, config.lifetime, config.first_ads)  # so that they do not all leave together
        self.config = config
        self.arrival: Ints = np.concatenate([first, later]).astype(np.int64)
        number = len(self.arrival)
        self.content: Floats = draw.standard_normal((number, config.content))
        self.bids: Floats = np.exp(config.bid_spread * draw.standard_normal(number))
        taste = draw.standard_normal((config.segments, config.content)) / config.content**0.5
        logits = (
            np.log(config.base_rate / (1 - config.base_rate))
            + config.appeal * self.content @ taste.T
            + config.quality * draw.standard_normal((number, 1))
        )
        self.rates: Floats = 1 / (1 + np.exp(-logits))
        self._seed = seed

    def active(self, number: int) -> Bools:
        """`[A]`: the ads that are active in a round."""
        return (self.arrival <= number) & (number < self.arrival + self.config.lifetime)

    @property
    def is_new(self) -> Bools:
        """`[A]`: the ads that arrived after the start."""
        return self.arrival > 0

    def requests(self, number: int) -> Requests:
        """The requests of a round, the same for all policies.

        Raises:
          ValueError: If there are too few ads for a request's candidates.
        """
        draw = np.random.default_rng((self._seed, 1, number))
        ads = np.flatnonzero(self.active(number))
        size, choice = self.config.requests, self.config.candidates
        if len(ads) < choice:
            raise ValueError(f"Round {number} has {len(ads)} ads, but a request needs {choice} candidates.")
        order = np.argsort(draw.random((size, len(ads))), axis=1)[:, :choice]
        segments = draw.integers(0, self.config.segments, size)
        return Requests(segments=segments, candidates=ads[order], luck=draw.random((size, choice)))
