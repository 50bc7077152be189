"""One policy on one simulated platform."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.models.exploration import CountedProcess
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.platform import AdPlatform, PlatformConfig
from fullrank.trainers.exploration.scores import scores_of

AMPLITUDE: Final = 1.5
"""Prior standard deviation of a cell's logit."""
_BETWEEN_SEGMENTS, _BETWEEN_ADS, _OF_CONTENT = 0.98, 1.28, 0.36
_NEAR: Final = 0.1
"""A new ad has reached its true rank if its percentile is off by no more than this."""


def platform_of(config: ExploreConfig, *, seed: int) -> AdPlatform:
    """The platform of a seed."""
    names = (
        "rounds", "requests", "candidates", "first_ads", "new_ads", "lifetime", "segments", "base_rate", "appeal",
        "quality",
    )  # fmt: skip
    return AdPlatform(PlatformConfig(**{name: getattr(config, name) for name in names}), seed=seed)


def simulate(platform: AdPlatform, policy: str, *, seed: int, epsilon: float) -> dict[str, Any]:
    """Runs a policy through all rounds.

    Args:
      platform: The world; not changed.
      policy: Its name.
      seed: Of the policy's draws.
      epsilon: Of `epsilon_greedy`.

    Returns:
      `regret` (cumulative, after each round, in expected revenue), `revenue` (of the clicks), `new_share` (of what was
      shown), `ranked_share` (of the new ads that reach their true rank), and `shown` and `deviation` of each cell at
      the end.
    """
    config, score = platform.config, scores_of(policy, epsilon=epsilon)
    process = CountedProcess(
        prior_covariance(platform), prior_mean=float(np.log(config.base_rate / (1 - config.base_rate)))
    )
    regret, revenue, new, ranked = [], 0.0, 0, []
    for number in range(config.rounds):
        requests = platform.requests(number)
        cells = requests.candidates * config.segments + requests.segments[:, np.newaxis]
        if number == 0:
            # Nothing is known yet: all policies start from the same draw.
            scores = np.random.default_rng((seed, 2)).standard_normal(cells.shape)
        else:
            scores = score(process, cells, tf.constant([seed, number], tf.int32))
        bids = platform.bids[requests.candidates]
        picked = np.argmax(bids / (1 + np.exp(-scores)), axis=1)[:, np.newaxis]
        rates = platform.rates[requests.candidates, requests.segments[:, np.newaxis]]
        worth = rates * bids
        regret.append(float(np.sum(worth.max(axis=1) - np.take_along_axis(worth, picked, 1)[:, 0])))
        clicks = np.take_along_axis((requests.luck < rates).astype(np.float64), picked, 1)[:, 0]
        revenue += float(np.sum(clicks * np.take_along_axis(bids, picked, 1)[:, 0]))
        new += int(platform.is_new[np.take_along_axis(requests.candidates, picked, 1)].sum())
        process.observe(np.take_along_axis(cells, picked, 1)[:, 0], clicks)
        ranked += _ranked(platform, process, number)
    return {
        "regret": np.cumsum(regret).tolist(),
        "revenue": revenue,
        "new_share": new / (config.rounds * config.requests),
        "ranked_share": float(np.mean(ranked)) if ranked else None,
        "shown": process.shown.tolist(),
        "deviation": np.sqrt(process.variance).tolist(),
    }


def prior_covariance(platform: AdPlatform) -> npt.NDArray[np.float64]:
    """`[A G, A G]` of the cells, ad by ad: an RBF kernel over what tells two cells apart, segment, ad and content."""
    segments = platform.config.segments
    content = platform.content / np.sqrt(platform.config.content)
    apart = np.sum((content[:, np.newaxis] - content) ** 2, axis=2) * _OF_CONTENT
    apart += _BETWEEN_ADS * (1 - np.eye(len(content)))
    squared = np.kron(apart, np.ones((segments, segments)))
    squared += _BETWEEN_SEGMENTS * np.kron(np.ones_like(apart), 1 - np.eye(segments))
    found: npt.NDArray[np.float64] = AMPLITUDE**2 * np.exp(-0.5 * squared) + 1e-6 * np.eye(len(squared))
    return found


def _ranked(platform: AdPlatform, process: CountedProcess, number: int) -> list[bool]:
    """Of the new ads for which this is the last round: whether each is about where it belongs among those there."""
    config = platform.config
    last = number == config.rounds - 1
    ads = np.flatnonzero(platform.active(number))
    leaving = platform.is_new[ads] & (last | (platform.arrival[ads] + config.lifetime == number + 1))
    if not leaving.any():
        return []
    believed = process.mean.reshape(-1, config.segments)[ads].mean(axis=1)
    true = np.log(platform.rates[ads] / (1 - platform.rates[ads])).mean(axis=1)
    places = [np.argsort(np.argsort(values)) / max(1, len(ads) - 1) for values in (believed, true)]
    near: list[bool] = (np.abs(places[0] - places[1]) <= _NEAR)[leaving].tolist()
    return near
