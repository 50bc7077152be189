"""The planted truth of the synthetic set: people and ads with latent vectors that no record shows.

Everything here follows from the configuration and its seed, so an analysis can draw the world again and compare what a
model learned with what is true.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GENDERS: Final = 2
DEVICES: Final = 3
FORMATS: Final = 4
POSITIONS: Final = 4
DAY: Final = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Size and strength of everything that is planted. `fullrank.data.sources.synthetic` gives the equations.

    Attributes:
      rows: Impressions.
      users: People.
      ads: Ads, near-duplicates included.
      categories: Categories of ads.
      advertisers: Advertisers, each with many ads.
      groups: Hidden groups of people.
      days: Length of the log.
      latent: Length k of the latent vectors.
      history: Most recent browsing events kept.
      browses_a_day: Mean browsing events of a person per day.
      pool: Ads that a person is shown again and again.
      click_rate: Mean of click.
      like_rate: Mean of like, over all impressions.
      conversion_rate: Mean of conversion, over clicks.
      affinity: Weight of the latent affinity in the logit of click; the other tasks use the same.
      interest: Weight of the decaying interest.
      interest_days: Time constant of its decay.
      fatigue: Weight of earlier exposures.
      fatigue_days: Time constant of their decay.
      contradictory_share: Share of the ads whose like vector points away from their click vector.
      duplicate_share: Share of the ads that are near-duplicates of an earlier one.
      late_share: Share of the ads that start after the log does.
      joining_share: Share of the people who join after the log starts.
      vector_length: Length of pretrained and content vectors, at least `latent`.
      vector_noise: Standard deviation of the noise in pretrained vectors, where the signal's is 1.
      missing_share: Share of people and of ads without age, or without a pretrained vector.
      seed: Seed of everything.
    """

    rows: int = 200_000
    users: int = 5_000
    ads: int = 1_000
    categories: int = 20
    advertisers: int = 50
    groups: int = 8
    days: int = 14
    latent: int = 8
    history: int = 20
    browses_a_day: float = 3.0
    pool: int = 30
    click_rate: float = 0.15
    like_rate: float = 0.10
    conversion_rate: float = 0.20
    affinity: float = 1.0
    interest: float = 1.0
    interest_days: float = 1.0
    fatigue: float = 0.5
    fatigue_days: float = 2.0
    contradictory_share: float = 0.3
    duplicate_share: float = 0.2
    late_share: float = 0.3
    joining_share: float = 0.2
    vector_length: int = 16
    vector_noise: float = 0.5
    missing_share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Rejects sizes for which the planted structure cannot be made."""
        for name in ("rows", "users", "advertisers", "groups", "days", "latent", "history", "pool", "categories"):
            if getattr(self, name) < 1:
                raise ValueError(f"The synthetic set needs {name} >= 1. Received: {getattr(self, name)}.")
        if self.ads < 2 * self.categories:
            raise ValueError(
                f"The synthetic set needs at least two ads per category. Received: ads={self.ads}, "
                f"categories={self.categories}."
            )
        if self.vector_length < self.latent:
            raise ValueError(
                f"vector_length must be at least latent, or the vectors lose signal. Received: {self.vector_length} < "
                f"{self.latent}."
            )
        for name in ("click_rate", "like_rate", "conversion_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1. Received: {getattr(self, name)}.")
        for name in ("contradictory_share", "duplicate_share", "late_share", "joining_share", "missing_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1]. Received: {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """People and ads. U people, A ads, C categories, k latent length, v vector length; times in seconds from the start.

    Attributes:
      config: The configuration that it was drawn from.
      user_latent: `[U, k]`, of length sqrt(k).
      user_group: `[U]` hidden group.
      user_gender: `[U]`.
      user_device: `[U]`.
      user_age: `[U]`.
      user_joins: `[U]` when a person's impressions begin.
      user_weight: `[U]` activity, sums to 1.
      user_category: `[U, C]` how a person's browsing is spread over categories.
      user_vector: `[U, v]` pretrained; NaN rows are missing.
      ad_click: `[A, k]` latent vector for click and conversion, of length 1.
      ad_like: `[A, k]` latent vector for like, of length 1.
      ad_contradicts: `[A]` whether the two point in opposite directions.
      ad_category: `[A]`.
      ad_advertiser: `[A]`.
      ad_format: `[A]`.
      ad_price: `[A]`.
      ad_starts: `[A]` when an ad is first shown; 0 for the early ones.
      ad_appeal: `[A]` contribution of an ad to the logit of click, half of it due to its advertiser.
      ad_gender: `[A]` added to the logit for gender 1, subtracted for gender 0.
      ad_delay: `[A]` mean delay of a conversion, in seconds.
      ad_creative: `[A]` the ad that this one is a near-duplicate of; its own number for an original.
      ad_vector: `[A, v]` pretrained, in the space of `user_vector`; NaN rows are missing.
      ad_content: `[A, v]` content vector, of length 1.
      gender_by_category: `[2, C]` interaction of two small fields.
      device_by_format: `[3, 4]` interaction of two small fields.
      position: `[4]` effect of the position on the page.
    """

    config: SyntheticConfig
    user_latent: Floats
    user_group: Ints
    user_gender: Ints
    user_device: Ints
    user_age: Floats
    user_joins: Floats
    user_weight: Floats
    user_category: Floats
    user_vector: Floats
    ad_click: Floats
    ad_like: Floats
    ad_contradicts: npt.NDArray[np.bool_]
    ad_category: Ints
    ad_advertiser: Ints
    ad_format: Ints
    ad_price: Floats
    ad_starts: Floats
    ad_appeal: Floats
    ad_gender: Floats
    ad_delay: Floats
    ad_creative: Ints
    ad_vector: Floats
    ad_content: Floats
    gender_by_category: Floats
    device_by_format: Floats
    position: Floats

    def click_affinity(self, user: Ints, ad: Ints) -> Floats:
        """The affinity of each pair for click: about standard normal over random pairs."""
        return _row_products(self.user_latent[user], self.ad_click[ad])

    def like_affinity(self, user: Ints, ad: Ints) -> Floats:
        """The affinity of each pair for like."""
        return _row_products(self.user_latent[user], self.ad_like[ad])


def random_stream(config: SyntheticConfig, part: int) -> np.random.Generator:
    """An independent generator for each part, so that more rows do not change the people or the ads."""
    return np.random.Generator(np.random.PCG64([config.seed, part]))


def draw_world(config: SyntheticConfig) -> World:
    """Draws people and ads.

    Args:
      config: Sizes, strengths and the seed.

    Returns:
      The same world for the same configuration.
    """
    random = random_stream(config, 0)
    k = config.latent
    rotation = np.linalg.qr(random.normal(size=(config.vector_length, config.vector_length)))[0][:k]
    centres = _unit(random.normal(size=(config.categories, k)))
    people = _draw_people(config, rotation, centres)
    ads = _draw_ads(config, rotation, centres)
    return World(
        config=config,
        **people,
        **ads,
        gender_by_category=random.normal(scale=0.5, size=(GENDERS, config.categories)),
        device_by_format=random.normal(scale=0.5, size=(DEVICES, FORMATS)),
        position=np.linspace(0.4, -0.4, POSITIONS),
    )


def _draw_people(config: SyntheticConfig, rotation: Floats, centres: Floats) -> dict[str, npt.NDArray[Any]]:
    random = random_stream(config, 1)
    users, k = config.users, config.latent
    group = random.integers(config.groups, size=users)
    latent = np.sqrt(k) * _unit(random.normal(size=(config.groups, k))[group] + 0.7 * random.normal(size=(users, k)))
    taste = np.exp(latent @ centres.T)
    age = np.round(np.clip(random.gamma(6.0, 6.0, size=users), 14, 90))
    age[random.random(users) < config.missing_share] = np.nan
    weight = random.lognormal(sigma=0.8, size=users)
    joins = random.random(users) * config.days * DAY
    joins[random.random(users) >= config.joining_share] = 0.0
    return {
        "user_latent": latent,
        "user_group": group,
        "user_gender": random.integers(GENDERS, size=users),
        "user_device": random.choice(DEVICES, size=users, p=[0.6, 0.3, 0.1]),
        "user_age": age,
        "user_joins": joins,
        "user_weight": weight / weight.sum(),
        "user_category": taste / taste.sum(axis=1, keepdims=True),
        "user_vector": _pretrained(config, random, latent, rotation),
    }


def _draw_ads(config: SyntheticConfig, rotation: Floats, centres: Floats) -> dict[str, npt.NDArray[Any]]:
    random = random_stream(config, 2)
    ads, k = config.ads, config.latent
    duplicates = int(config.duplicate_share * (ads - config.categories))
    originals = ads - duplicates
    creative = np.arange(ads)
    creative[originals:] = random.integers(originals, size=duplicates)
    category = random.integers(config.categories, size=ads)
    category[: config.categories] = np.arange(config.categories)  # so that none is empty
    click = _unit(0.7 * centres[category] + random.normal(size=(ads, k)) / np.sqrt(k))
    contradicts = random.random(ads) < config.contradictory_share
    like = _unit(np.where(contradicts, -1.0, 1.0)[:, None] * click + 0.3 * random.normal(size=(ads, k)) / np.sqrt(k))
    late = random.random(ads) < config.late_share
    late[: config.categories] = False
    late[originals:] = True  # a near-duplicate is a new ad id for a creative that people know
    advertiser = random.integers(config.advertisers, size=ads)
    appeal = random.normal(scale=0.3, size=config.advertisers)[advertiser] + random.normal(scale=0.3, size=ads)
    truth: dict[str, npt.NDArray[Any]] = {
        "ad_click": click,
        "ad_like": like,
        "ad_contradicts": contradicts,
        "ad_category": category,
        "ad_advertiser": advertiser,
        "ad_format": random.integers(FORMATS, size=ads),
        "ad_price": np.round(random.lognormal(mean=3.0, sigma=1.0, size=ads), 2),
        "ad_appeal": appeal,
        "ad_gender": random.normal(scale=0.4, size=ads),
        "ad_delay": random.lognormal(mean=np.log(0.5 * DAY), sigma=1.0, size=ads),
    }
    truth = {name: values[creative] for name, values in truth.items()}
    content = _unit(truth["ad_click"] @ rotation + 0.2 * random.normal(size=(ads, config.vector_length)) / np.sqrt(k))
    content = _unit(
        content[creative] + 0.01 * random.normal(size=content.shape) * (creative != np.arange(ads))[:, None]
    )
    return {
        **truth,
        "ad_starts": np.where(late, random.random(ads) * config.days * DAY, 0.0),
        "ad_creative": creative,
        "ad_vector": _pretrained(config, random, np.sqrt(k) * truth["ad_click"], rotation),
        "ad_content": content,
    }


def _pretrained(config: SyntheticConfig, random: np.random.Generator, latent: Floats, rotation: Floats) -> Floats:
    vector = latent @ rotation + config.vector_noise * random.normal(size=(len(latent), config.vector_length))
    vector[random.random(len(latent)) < config.missing_share] = np.nan
    return vector


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _row_products(left: Floats, right: Floats) -> Floats:
    products: Floats = np.einsum("nk,nk->n", left, right)
    return products
