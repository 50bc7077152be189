"""A variable in a file, not read yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredVariable:
    """A matrix of floats that can be read when it is needed.

    Attributes:
      name: Its name.
      shape: Its shape.
      read: Reads the values, float32 or float64, or a narrower float.
      slots: What an optimiser keeps beside it, `[N]` or `[N, d]` each.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]
    slots: tuple[StoredVariable, ...] = ()
