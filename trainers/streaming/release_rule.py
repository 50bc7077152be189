"""The wait of a click before it is trained on, from the variance of the conversion feedback ([Tencent] §6.3).

The paper: "a very small variance means that the observed CVR is close to the history CVR, so we can populate the
samples as fast as possible. Otherwise when the variance is large, we will set a waiting time". It gives no formula; the
two here are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def deviation(*, conversions: npt.ArrayLike, clicks: npt.ArrayLike, rate: npt.ArrayLike) -> Floats:
    """`z = (c - n p) / sqrt(n p (1 - p))`: how far c conversions of n clicks are from a rate p.

    Conversions are those that *arrived* in the window, of any click: an advertiser that reports nothing for hours has a
    z far below 0, and far above 0 at the moment of its report.

    Args:
      conversions: c, at least 0; may exceed n.
      clicks: n, at least 0. Neither has to be whole.
      rate: p in [0, 1].

    Returns:
      z in the shape that the arguments broadcast to. Where the deviation is 0 (no clicks, or a rate of 0 or 1), z is 0
      if c is as expected, and otherwise infinite.
    """
    c, n, p = (np.asarray(values, np.float64) for values in (conversions, clicks, rate))
    off, spread = c - n * p, np.sqrt(np.maximum(n * p * (1.0 - p), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = np.where(spread > 0.0, off / spread, np.where(off == 0.0, 0.0, np.sign(off) * np.inf))
    return z


def waiting_time(
    *,
    conversions: npt.ArrayLike,
    clicks: npt.ArrayLike,
    rate: npt.ArrayLike,
    window: float,
    threshold: float,
    cap: float,
) -> Floats:
    """`wait = min(cap, window max(0, |z| / threshold - 1))`, with z as in `deviation`.

    0 while the observed rate is within its binomial deviation of the historical one, a window at twice the threshold,
    two windows at three times, and never more than the cap.

    Args:
      conversions: Observed in the window, at least 0.
      clicks: Observed in the window, at least 0.
      rate: Historical rate in [0, 1].
      window: Length of the window, in the unit of the result.
      threshold: Largest |z| at which nothing waits, above 0.
      cap: Longest wait.

    Returns:
      Waiting times, in the shape that counts and rate broadcast to.

    Raises:
      ValueError: If an argument is out of range.
    """
    c, n, p = (np.asarray(values, np.float64) for values in (conversions, clicks, rate))
    if not (window > 0.0 and threshold > 0.0 and cap >= 0.0):
        raise ValueError(
            f"A release rule needs window > 0, threshold > 0 and cap >= 0. Received: {window}, {threshold}, {cap}."
        )
    if _any(~(c >= 0.0)) or _any(~(n >= 0.0)) or _any(~((p >= 0.0) & (p <= 1.0))):
        raise ValueError("Counts are at least 0, and a rate is in [0, 1].")
    z = np.abs(deviation(conversions=c, clicks=n, rate=p))
    return np.minimum(cap, window * np.maximum(0.0, z / threshold - 1.0))


def _any(condition: Any) -> bool:
    return bool(np.any(condition))
