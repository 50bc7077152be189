"""The level of an interval."""

from __future__ import annotations


def check_confidence(confidence: float) -> None:
    """Validates a level of confidence.

    Raises:
      ValueError: If it does not lie between 0 and 1, both excluded.
    """
    if 0.0 < confidence < 1.0:
        return
    hint = f" For {confidence:g} percent give {confidence / 100:g}." if 1.0 < confidence < 100.0 else ""
    raise ValueError(f"confidence must lie between 0 and 1, both excluded. Received: {confidence:g}.{hint}")
