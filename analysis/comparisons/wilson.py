"""Wilson's interval for a rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def wilson_interval(*, rate: npt.ArrayLike, examples: npt.ArrayLike, z: float = 1.959964) -> tuple[Floats, Floats]:
    """Computes Wilson's score interval, (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Unlike p -+ z sqrt(p(1-p)/n) it stays in [0, 1] and does not shrink to a point when no positive was seen, which is
    the usual case in a group of low predictions.

    Args:
        rate: observed rates `[G]`.
        examples: number of examples behind each, `[G]`, positive.
        z: normal quantile; default that of 95 %.

    Returns:
        Lower and upper ends, `[G]`.
    """
    p, n = np.asarray(rate, np.float64), np.asarray(examples, np.float64)
    centre = p + z * z / (2.0 * n)
    half = z * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    return np.clip((centre - half) / scale, 0.0, 1.0), np.clip((centre + half) / scale, 0.0, 1.0)
