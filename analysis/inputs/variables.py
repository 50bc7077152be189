"""A variable in a file that is read only when it is needed, and which of its rows were ever trained.

Trained rows are identified by optimiser slots or by initial values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]


_COMMON_INITIAL_VALUES: Final = (0.0, float(np.float32(0.1)))
"""Initial values of slots: momenta and squared gradients are 0, the accumulators of Adagrad and FTRL 0.1 or 0."""
_CHUNK: Final = 2**16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredVariable:
    """A float matrix that can be read when it is needed.

    Attributes:
      name: Its name.
      shape: Its shape.
      read: Reads the values, float32 or float64, or a narrower float.
      slots: Its optimiser slots, `[N]` or `[N, d]` each.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]
    slots: tuple[StoredVariable, ...] = ()


def touched_rows(slot: Array) -> Array:
    """Marks the rows of a slot that have left its initial value, `[N]`.

    A slot that can be negative (momentum) starts at 0. One that cannot (a sum or a mean of squared gradients) starts at
    its smallest value, if some row still has it: 0 or 0.1, or another value that several rows share in all columns,
    which squared gradients would not do by chance.

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
    """Marks the rows of a variable that were trained by any of its slots, `[N]`; `None` if no slot is informative.

    Slots in which nothing has changed are not: an optimiser may keep some that it does not use.
    """
    touched = np.zeros(variable.shape[0], bool)
    for slot in variable.slots:
        touched |= touched_rows(slot.read())
    return touched if touched.any() else None


def changed_rows(values: Array, initial: Array) -> Array:
    """Marks the rows that differ from their initial values, `[N]`, for two tables `[N, d]`."""
    changed = np.zeros(len(values), bool)
    for start in range(0, len(values), _CHUNK):
        place = slice(start, start + _CHUNK)
        changed[place] = np.any(values[place] != initial[place], axis=1)
    return changed
