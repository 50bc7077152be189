"""Seeds for the parts of what has one seed."""

from __future__ import annotations

import zlib
from typing import overload

import numpy as np


@overload
def derived_seed(seed: int, *parts: str | int) -> int: ...
@overload
def derived_seed(seed: int | None, *parts: str | int) -> int | None: ...
def derived_seed(seed: int | None, *parts: str | int) -> int | None:
    """A seed for a part, by a hash of seed and part; `None`, for a generator's own draw, stays `None`.

    A sum, such as seed + 1, gives the second part of one seed the numbers of the first part of the next one, so that
    models of seeds 1, 2, 3 are not independent.

    Args:
      seed: Of the whole, any integer.
      parts: What tells the part from the others.

    Returns:
      From 0 to 2^31 - 1.
    """
    if seed is None:
        return None
    words = [seed % 2**64, *(zlib.crc32(part.encode()) if isinstance(part, str) else part % 2**64 for part in parts)]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) >> 1
