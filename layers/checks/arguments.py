"""Arguments of layers: whole numbers that count something, real ones that measure it, and seeds of their parts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, overload

import numpy as np


def require_counts(layer: str, **counts: Any) -> None:
    """Rejects arguments that are neither a whole number of at least 1 nor a sequence of such numbers.

    Args:
      layer: Name of the class, for the error.
      **counts: Arguments by name.

    Raises:
      ValueError: It names the argument and says what was received.
    """
    for name, given in counts.items():
        each = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
        if not all(_is_count(value) for value in each):
            raise ValueError(f"{layer} needs {name} of whole numbers >= 1. Received: {name}={given!r}.")


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 1)


def require_share(layer: str, **shares: Any) -> None:
    """Rejects arguments that are not numbers in `0 <= share < 1`, such as shares of dropped units.

    Args:
      layer: Name of the class, for the error.
      **shares: Arguments by name.

    Raises:
      ValueError: It names the argument and says what was received.
    """
    for name, given in shares.items():
        if not (isinstance(given, (int, float, np.number)) and 0.0 <= given < 1.0):
            raise ValueError(f"{layer} needs 0 <= {name} < 1. Received: {name}={given!r}.")


def require_positive(layer: str, **values: Any) -> None:
    """Rejects arguments that are not finite numbers above 0.

    Args:
      layer: Name of the class, for the error.
      **values: Arguments by name.

    Raises:
      ValueError: It names the argument and says what was received.
    """
    for name, given in values.items():
        if not (isinstance(given, (int, float, np.number)) and 0.0 < given < math.inf):
            raise ValueError(f"{layer} needs {name} > 0. Received: {name}={given!r}.")


@overload
def derived_seed(seed: int, *parts: str | int) -> int: ...
@overload
def derived_seed(seed: int | None, *parts: str | int) -> int | None: ...
def derived_seed(seed: int | None, *parts: str | int) -> int | None:
    """A seed for a part, by a hash of seed and part; `None`, for a generator's own draw, stays `None`.

    With a sum, such as seed + 1, the second part of one seed would draw the numbers of the first part of the next seed,
    and models of seeds 1, 2, 3 would not be independent.

    Args:
      seed: Seed of the whole, any integer.
      parts: Names or numbers that identify the part.

    Returns:
      From 0 to 2^31 - 1.
    """
    if seed is None:
        return None
    words = [seed % 2**64, *(zlib.crc32(part.encode()) if isinstance(part, str) else part % 2**64 for part in parts)]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) >> 1
