"""How numbers with intervals stand in the report of an exploration, and in its JSON."""

from __future__ import annotations

import math
from typing import Any, Protocol

from fullrank.analysis.comparisons.paired import PairedDifference, paired_difference


class Interval(Protocol):
    """A number and what it may be."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def over_seeds(values: list[float]) -> PairedDifference:
    """Mean over seeds with Student's 95 % interval."""
    return paired_difference(values=values, baseline=[0.0] * len(values))


def written(value: float, interval: Interval, *, digits: int | None = None, sign: bool = False) -> str:
    """`.151 [.148, .154]`; without the brackets where the interval is not defined, `-` where the number is not.

    Args:
      value: The number.
      interval: Around it.
      digits: After the point; 3, or none from 10 on, if `None`.
      sign: Whether a plus is written.
    """
    has_interval = not (math.isnan(interval.low) or math.isnan(interval.high))
    ends = (interval.low, interval.high) if has_interval else ()
    many = max(abs(each) for each in (value, *ends)) >= 10
    shown = (0 if many else 3) if digits is None else digits

    def short(number: float) -> str:
        return f"{number:{'+' if sign else ''},.{shown}f}"

    if math.isnan(value):
        return "-"
    return f"{short(value)} [{', '.join(map(short, ends))}]" if ends else short(value)


def number(value: float, interval: Interval) -> dict[str, Any]:
    """The same for JSON, which has no NaN."""
    found = {"value": value, "low": interval.low, "high": interval.high}
    return {name: None if math.isnan(each) else each for name, each in found.items()}
