"""A variable in a file that is read only when it is needed, and which of its rows were ever trained.

The latter is told from what an optimiser keeps for it, or from its initial values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]


_COMMON_INITIAL_VALUES: Final = (0.0, float(np.float32(0.1)))
"""At which optimisers start: momenta and squared gradients at 0, the accumulators of Adagrad and FTRL at 0.1 or 0."""
_CHUNK: Final = 2**16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredVariable:
    """A matrix of floats that can be read when it is needed.

    Attributes:
      name: Its name.
      shape: Its shape.
      read: Reads the values, float32 or float64, or a narrower float.
      slots: What an optimiser keeps for it, `[N]` or `[N, d]` each.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]
    slots: tuple[StoredVariable, ...] = ()


def touched_rows(slot: Array) -> Array:
    """Which rows of a slot have left its initial value, `[N]`.

    A slot that can be negative (momentum) starts at 0. One that cannot (a sum or a mean of squared gradients) starts at
    its smallest value, if it has kept that in any row: at 0 or 0.1, or at another value that several rows share in all
    places, which squared gradients would not do by chance.

    A row whose squared gradients were all too small to change a float32 accumulator that starts at 0.1, as Keras's
    Adagrad does, counts as never trained: it has hardly moved.

    Args:
      slot: `[N]` or `[N, d]`.
    """
    if slot.size == 0:
        return np.zeros(len(slot), bool)
    smallest = float(np.min(slot))
    initial = 0.0 if smallest < 0 else smallest
    touched = np.concatenate(
        [
            np.any(np.reshape(slot[start : start + _CHUNK], (len(slot[start : start + _CHUNK]), -1)) != initial, axis=1)
            for start in range(0, len(slot), _CHUNK)
        ]
    )
    known = initial in _COMMON_INITIAL_VALUES or np.count_nonzero(~touched) > 1
    return touched if known else np.ones(len(slot), bool)


def rows_with_touched_slots(variable: StoredVariable) -> Array | None:
    """Which rows of a variable any of its slots says were trained, `[N]`; `None` if none of them says anything.

    Slots in which nothing has changed say nothing: an optimiser may keep some that it does not use.
    """
    touched = np.zeros(variable.shape[0], bool)
    for slot in variable.slots:
        touched |= touched_rows(slot.read())
    return touched if touched.any() else None


def changed_rows(values: Array, initial: Array) -> Array:
    """Which rows differ from their initial values, `[N]`, for two tables `[N, d]`."""
    changed = np.zeros(len(values), bool)
    for start in range(0, len(values), _CHUNK):
        place = slice(start, start + _CHUNK)
        changed[place] = np.any(values[place] != initial[place], axis=1)
    return changed
