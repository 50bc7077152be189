"""The queue of rows for the model: clicks in the role in which they are trained on, in the order of their release."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.data.events.event_columns import Batch
from fullrank.trainers.streaming.timers import Floats, Ints

ROLES: Final = ("negative", "positive", "late", "ended", "complete")
"""The roles of a click in training: released without or with a conversion; a conversion after the release; silent to
the end of its window; complete, for the model of delays alone."""
NEGATIVE, POSITIVE, LATE, ENDED, COMPLETE = range(len(ROLES))
FIELDS: Final[dict[str, Any]] = {
    "id": np.int64,
    "role": np.int8,
    "label": np.float32,
    "elapsed": np.float32,
    "silent": np.float32,
    "waited": np.float32,
}
"""`elapsed`, `silent` and `waited` in days, as the losses take them."""
DAY: Final = 86_400.0


class TrainingRows:
    """A queue of rows, from which batches are taken; every row is a click's columns and the fields above."""

    def __init__(self) -> None:
        self._chunks: deque[Batch] = deque()
        self._first = 0
        self.rows = 0

    def add(
        self, batch: Batch, *, ids: Ints, role: npt.ArrayLike, elapsed: Floats, silent: Floats, waited: Floats
    ) -> None:
        """Adds rows, all in one role or each in its own.

        Args:
          batch: Columns.
          ids: Ids of the clicks.
          role: One of `ROLES` by number, for all rows or for each.
          elapsed: Seconds from the click to its conversion, or until it was last observed; NaN if complete without one.
          silent: Seconds for which the click was silent when it was trained on before; NaN if it was not.
          waited: Seconds from the click to its release.
        """
        if not len(ids):
            return
        roles = np.broadcast_to(np.asarray(role, np.int8), len(ids))
        fields = {
            "id": ids,
            "role": roles,
            "label": (roles == POSITIVE) | (roles == LATE) | ((roles == COMPLETE) & ~np.isnan(elapsed)),
            **{name: values / DAY for name, values in (("elapsed", elapsed), ("silent", silent), ("waited", waited))},
        }
        typed = {f"row/{name}": np.asarray(fields[name], kind) for name, kind in FIELDS.items()}
        self._chunks.append({**batch, **typed})
        self.rows += len(ids)

    def take(self, number: int) -> Batch:
        """Takes the first rows; fields are named `row/<field>`.

        Raises:
          ValueError: If there are fewer.
        """
        if not 0 < number <= self.rows:
            raise ValueError(f"{number} rows were asked for, of {self.rows}.")
        parts, wanted = [], number
        while wanted:
            chunk = self._chunks[0]
            size = len(chunk["row/id"])
            end = min(size, self._first + wanted)
            parts.append({name: values[self._first : end] for name, values in chunk.items()})
            wanted -= end - self._first
            self._first = end
            if end == size:
                self._chunks.popleft()
                self._first = 0
        self.rows -= number
        return parts[0] if len(parts) == 1 else _joined(parts)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The rows as arrays; none for no rows."""
        if not self.rows:
            return {}
        chunks = list(self._chunks)
        chunks[0] = {name: values[self._first :] for name, values in chunks[0].items()}
        return _joined(chunks)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`; present rows are discarded."""
        self._chunks.clear()
        self._first, self.rows = 0, 0
        if state:
            self._chunks.append(dict(state))
            self.rows = len(state["row/id"])


def _joined(chunks: list[Batch]) -> Batch:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
