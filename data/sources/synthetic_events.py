"""The events of the synthetic world: browsing, impressions, and the clicks, likes and conversions they lead to."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fullrank.data.sources.past import past_count, past_events
from fullrank.data.sources.synthetic_world import DAY, POSITIONS, Floats, Ints, World, random_stream

START: Final = 1_704_067_200
"""2024-01-01 00:00:00 UTC, the first second of the log."""
_EXPOSURES: Final = 32
"""Earlier exposures that can tire a person; older ones have decayed."""
_WARM_UP: Final = 7
"""Days of browsing before the first impression, so that early rows have a history too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impressions:
    """`[n]` arrays in the order of time, with the truth alongside what is seen.

    Attributes:
      user: Numbers of people.
      ad: Numbers of ads.
      time: Seconds since 1970.
      position: Place on the page.
      exposure_count: Earlier impressions of the ad to the person.
      exposure_gap: Seconds since the last of them; NaN without one.
      history_ad: Ads browsed before, concatenated over rows, oldest first.
      history_time: The times of these browsing events.
      history_length: `[n]` number of browsing events per row.
      interest: Decaying interest in the ad's category.
      fatigue: Decayed count of earlier exposures.
      click: 0 or 1.
      like: 0 or 1.
      conversion: 0 or 1; never 1 without a click.
      conversion_delay: Seconds from impression to conversion; NaN without one.
      click_probability: The probability that click was drawn from.
      like_probability: The probability that like was drawn from.
      conversion_probability: The probability that conversion was drawn from, given a click.
    """

    user: Ints
    ad: Ints
    time: Ints
    position: Ints
    exposure_count: Ints
    exposure_gap: Floats
    history_ad: Ints
    history_time: Ints
    history_length: Ints
    interest: Floats
    fatigue: Floats
    click: Floats
    like: Floats
    conversion: Floats
    conversion_delay: Floats
    click_probability: Floats
    like_probability: Floats
    conversion_probability: Floats


def draw_impressions(world: World) -> Impressions:
    """Draws the log of a world: `world.config.rows` impressions. The same world gives the same log."""
    config = world.config
    random = random_stream(config, 3)
    user = random.choice(config.users, size=config.rows, p=world.user_weight)
    joins = world.user_joins[user]
    second = np.floor(joins + random.random(config.rows) * (config.days * DAY - joins)).astype(np.int64)
    order = np.argsort(second, kind="stable")
    user, second = user[order], second[order]
    time = second + START
    ad = _shown_ads(world, user, second, random)
    position = random.integers(POSITIONS, size=config.rows)
    count, gap, fatigue = _exposures(world, user, ad, time)
    history_ad, history_time, length = _histories(world, user, time)
    interest = _interest(world, ad, time, history_ad, history_time, length)

    hour = time / 3600 % 24
    near = world.click_affinity(user, ad)
    click_logit = (
        config.affinity * near
        + world.ad_appeal[ad]
        + (2 * world.user_gender[user] - 1) * world.ad_gender[ad]
        + world.gender_by_category[world.user_gender[user], world.ad_category[ad]]
        + world.device_by_format[world.user_device[user], world.ad_format[ad]]
        + world.position[position]
        + 0.3 * np.sin(2 * np.pi * hour / 24)
        + _age_effect(world.user_age[user])
        + config.interest * np.log1p(interest)
        - config.fatigue * fatigue
    )
    like_logit = config.affinity * world.like_affinity(user, ad) + 0.5 * world.position[position]
    conversion_logit = config.affinity * near - 0.5 * (np.log(world.ad_price[ad]) - 3.0)
    click_probability = _probability(click_logit, config.click_rate)
    like_probability = _probability(like_logit, config.like_rate)
    conversion_probability = _probability(conversion_logit, config.conversion_rate, weight=click_probability)
    click = _draw(random, click_probability)
    like = _draw(random, like_probability)
    conversion = click * _draw(random, conversion_probability)
    delay = np.floor(random.exponential(world.ad_delay[ad]))
    return Impressions(
        user=user,
        ad=ad,
        time=time,
        position=position,
        exposure_count=count,
        exposure_gap=gap,
        history_ad=history_ad,
        history_time=history_time,
        history_length=length,
        interest=interest,
        fatigue=fatigue,
        click=click,
        like=like,
        conversion=conversion,
        conversion_delay=np.where(conversion == 1, delay, np.nan),
        click_probability=click_probability,
        like_probability=like_probability,
        conversion_probability=conversion_probability,
    )


def _shown_ads(world: World, user: Ints, second: Ints, random: np.random.Generator) -> Ints:
    """Each person has a pool of ads; a place of the pool shows its early ad until its late one has started."""
    config = world.config
    there_from_the_start = np.flatnonzero(world.ad_starts == 0)
    early = there_from_the_start[random.integers(len(there_from_the_start), size=(config.users, config.pool))]
    late = random.integers(config.ads, size=(config.users, config.pool))
    late = np.where(random.random(late.shape) < 0.5, late, early)
    place = np.floor(config.pool * random.random(len(user)) ** 2).astype(np.int64)  # the front of the pool is preferred
    wanted = late[user, place]
    return np.where(world.ad_starts[wanted] <= second, wanted, early[user, place])


def _exposures(world: World, user: Ints, ad: Ints, time: Ints) -> tuple[Ints, Floats, Floats]:
    pair = user * world.config.ads + ad
    past = past_events(key=pair, time=time, most=_EXPOSURES)
    row = np.repeat(np.arange(len(user)), past.lengths)
    age = (time[row] - time[past.events]).astype(np.float64)
    fatigue = _sum_by_row(row, np.exp(-age / (world.config.fatigue_days * DAY)), rows=len(user))
    last = past.events[np.maximum(np.cumsum(past.lengths) - 1, 0)] if len(past.events) else np.zeros_like(user)
    gap: Floats = np.where(past.lengths > 0, (time - time[last]).astype(np.float64), np.nan)
    return past_count(key=pair, time=time), gap, fatigue


def _histories(world: World, user: Ints, time: Ints) -> tuple[Ints, Ints, Ints]:
    """Browsing does not depend on impressions, so it is drawn first; each row reads its person's earlier browsing."""
    config = world.config
    random = random_stream(config, 4)
    events = max(1, round(config.users * config.browses_a_day * (config.days + _WARM_UP)))
    who = np.sort(random.choice(config.users, size=events, p=world.user_weight))
    when = np.floor((random.random(events) * (config.days + _WARM_UP) - _WARM_UP) * DAY).astype(np.int64) + START
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    what = _browsed_ads(world, who, when, random)
    span = np.int64((config.days + _WARM_UP + 1) * DAY)
    origin = START - _WARM_UP * DAY
    place = who * span + (when - origin)
    ends = np.searchsorted(place, user * span + (time - origin), side="left")  # strictly earlier
    begins = np.maximum(np.searchsorted(who, user, side="left"), ends - config.history)
    length = ends - begins
    flat = np.repeat(begins - np.concatenate([[0], np.cumsum(length)[:-1]]), length) + np.arange(length.sum())
    return what[flat], when[flat], length


def _browsed_ads(world: World, who: Ints, when: Ints, random: np.random.Generator) -> Ints:
    """People browse a topic for two days, then another: without that, recent and old behaviour would look alike."""
    config = world.config
    cumulative = np.cumsum(world.user_category, axis=1)
    cumulative[:, -1] = 1.0

    def draw_category(person: Ints) -> Ints:
        drawn: Ints = (cumulative[person] < random.random(len(person))[:, None]).sum(axis=1)
        return drawn

    period = (when - START + _WARM_UP * DAY) // (2 * DAY)
    periods = int(period.max()) + 1
    topic = draw_category(np.repeat(np.arange(config.users), periods)).reshape(config.users, periods)
    category = np.where(random.random(len(who)) < 0.7, topic[who, period], draw_category(who))
    early = np.flatnonzero(world.ad_starts == 0)
    early = early[np.argsort(world.ad_category[early], kind="stable")]
    edges = np.searchsorted(world.ad_category[early], np.arange(config.categories + 1))
    choice = np.floor(random.random(len(who)) * (edges[category + 1] - edges[category])).astype(np.int64)
    what: Ints = early[edges[category] + choice]
    return what


def _interest(world: World, ad: Ints, time: Ints, history_ad: Ints, history_time: Ints, length: Ints) -> Floats:
    row = np.repeat(np.arange(len(ad)), length)
    match = world.ad_category[history_ad] == world.ad_category[ad][row]
    age = (time[row] - history_time).astype(np.float64)
    return _sum_by_row(row, match * np.exp(-age / (world.config.interest_days * DAY)), rows=len(ad))


def _sum_by_row(row: Ints, values: Floats, *, rows: int) -> Floats:
    return np.bincount(row, weights=values, minlength=rows).astype(np.float64)


def _age_effect(age: Floats) -> Floats:
    """Rises to a peak at 30 and falls again, so that a linear reading of age finds nothing."""
    return np.where(np.isnan(age), 0.0, np.exp(-(((age - 30.0) / 8.0) ** 2)))


def _probability(logit: Floats, rate: float, weight: Floats | None = None) -> Floats:
    """sigmoid(logit + b) with b such that the (weighted) mean is `rate`, found by bisection."""
    low, high = -30.0 - float(logit.max()), 30.0 - float(logit.min())
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.average(_sigmoid(logit + middle), weights=weight)
        low, high = (middle, high) if mean < rate else (low, middle)
    return _sigmoid(logit + (low + high) / 2)


def _sigmoid(logit: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * logit))


def _draw(random: np.random.Generator, probability: Floats) -> Floats:
    return (random.random(len(probability)) < probability).astype(np.float64)
