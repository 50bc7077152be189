"""Delays between clicks and the reports of their conversions: their laws, and advertisers that report in bulk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_SPREAD, _SCHEDULE, _IN_BULK, _DELAYS = range(4)
"""Streams of random numbers, so that a change of one setting does not change what others draw."""
LAWS: Final = ("exponential", "lognormal", "empirical")


class DelayLaw(Protocol):
    """A distribution of delays."""

    def draw(self, random: np.random.Generator, *, number: int) -> Floats:
        """Draws delays in seconds, `[number]`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exponential:
    """`P(D > d) = exp(-d / mean)`, with the mean `median / log 2` (Chapelle 2014).

    Attributes:
      median: Seconds.
    """

    median: float

    def draw(self, random: np.random.Generator, *, number: int) -> Floats:
        """Draws delays in seconds, `[number]`."""
        return random.exponential(self.median / np.log(2.0), number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogNormal:
    """`log D ~ N(log median, sigma^2)`.

    Attributes:
      median: Seconds.
      sigma: Standard deviation of the logarithm.
    """

    median: float
    sigma: float = 1.0

    def draw(self, random: np.random.Generator, *, number: int) -> Floats:
        """Draws delays in seconds, `[number]`."""
        return random.lognormal(np.log(self.median), self.sigma, number)


@dataclasses.dataclass(frozen=True)
class Empirical:
    """Delays drawn from observed ones, each with the same probability.

    Attributes:
      delays: Seconds, not negative, at least one.
    """

    delays: tuple[float, ...]

    @classmethod
    def read(cls, file: Path) -> Empirical:
        """Reads a text file with a delay in seconds on each line.

        Raises:
          ValueError: If a line is not a delay, or there is none; the message names the line.
        """
        delays = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                delay = float(line)
            except ValueError:
                delay = -1.0
            if not 0.0 <= delay < np.inf:
                raise ValueError(f"{file}, line {number}: expected a delay in seconds, at least 0. Received: {line!r}.")
            delays.append(delay)
        if not delays:
            raise ValueError(f"{file} holds no delays: write one per line, in seconds.")
        return cls(tuple(delays))

    def draw(self, random: np.random.Generator, *, number: int) -> Floats:
        """Draws delays in seconds, `[number]`."""
        return random.choice(np.array(self.delays), number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bursts:
    """Advertisers that report all conversions since their last report at once, at irregular times.

    Attributes:
      share: Share of the advertisers that do.
      gap: Mean seconds between two reports of an advertiser; gaps are exponential.
    """

    share: float
    gap: float


def report_times(
    *,
    clicks: Floats,
    advertisers: Ints,
    law: DelayLaw,
    seed: int,
    spread: float = 0.0,
    bursts: Bursts | None = None,
) -> Floats:
    """Times at which conversions are reported, in seconds, `[n]`; not before their clicks, and the same per seed.

        reported = first report of the advertiser at or after  clicked + D exp(spread G_a),    G_a ~ N(0, 1)

    An advertiser that does not report in bulk reports at once.

    Args:
      clicks: Times of the clicks that convert, in seconds, `[n]`.
      advertisers: Number of the advertiser of each click, at least 0, `[n]`.
      law: Distribution of D.
      seed: Seed of all random numbers.
      spread: Standard deviation over advertisers of the logarithm of the factor of their delays.
      bursts: `None` for none.
    """
    n, known = len(clicks), int(advertisers.max(initial=-1)) + 1
    factors = np.exp(spread * np.random.default_rng((seed, _SPREAD)).standard_normal(known))
    delays = law.draw(np.random.default_rng((seed, _DELAYS)), number=n) * factors[advertisers]
    times: Floats = clicks + delays
    if bursts is None or not n:
        return times
    in_bulk = np.random.default_rng((seed, _IN_BULK)).random(known) < bursts.share
    for advertiser in np.unique(advertisers[in_bulk[advertisers]]).tolist():
        own = np.flatnonzero(advertisers == advertiser)
        reports = _schedule(seed, advertiser, start=float(clicks.min()), end=float(times[own].max()), gap=bursts.gap)
        times[own] = reports[np.searchsorted(reports, times[own], side="left")]
    return times


def _schedule(seed: int, advertiser: int, *, start: float, end: float, gap: float) -> Floats:
    """Ascending times of reports, the last one at or after the end."""
    random = np.random.default_rng((seed, _SCHEDULE, advertiser))
    reports = [start]
    while reports[-1] < end:
        reports.extend((reports[-1] + np.cumsum(random.exponential(gap, 64))).tolist())
    return np.array(reports[1:])


def delay_law(
    name: Literal["exponential", "lognormal", "empirical"], *, median: float, sigma: float, file: Path | None
) -> DelayLaw:
    """The law that flags describe.

    Raises:
      ValueError: If it is empirical and no file is given.
    """
    if name == "exponential":
        return Exponential(median=median)
    if name == "lognormal":
        return LogNormal(median=median, sigma=sigma)
    if file is None:
        raise ValueError("--law=empirical needs --delays, a text file with a delay in seconds on each line.")
    return Empirical.read(file)
