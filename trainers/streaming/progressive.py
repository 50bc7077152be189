"""Progressive evaluation: every click is scored before it is trained on, and counted when its label is complete."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.array_ops import NUMPY
from fullrank.models.metrics.binary_formulas import binary_rows
from fullrank.models.metrics.binary_sums import BinarySums
from fullrank.models.metrics.logit_grid import LogitGrid
from fullrank.trainers.streaming.timers import Floats

GROUPS: Final = ("all", "young")
SHOWN: Final = ("auc", "ne", "log_loss", "bias", "base_rate", "mean_prediction", "examples", "positives")
_TOTAL: Final = "total"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """Metrics of the clicks of a stretch of time.

    Attributes:
      start: Seconds.
      end: Seconds.
      groups: `all` and `young` -> metric -> value, `None` where it is undefined.
    """

    start: float
    end: float
    groups: dict[str, dict[str, Any]]


class Progressive:
    """AUC, NE and bias (predicted over observed) of stretches of time and of the whole stream, for all and young ads.

    Args:
      width: Seconds of a stretch.
      settle: Seconds at the start that the metrics of the whole stream leave out.
    """

    def __init__(self, *, width: float, settle: float = 0.0) -> None:
        self._width, self._settle = width, settle
        self._grid = LogitGrid(bins=2**11)
        self._open: dict[str, BinarySums] = {_TOTAL: self._new()}
        self.closed: list[Window] = []

    def _new(self) -> BinarySums:
        sums = BinarySums(grid=self._grid)
        sums.reserve(rows=len(GROUPS))
        return sums

    def add(
        self, *, start: float, clicked: Floats, labels: Floats, predicted: Floats, young: npt.NDArray[np.bool_]
    ) -> None:
        """Adds clicks with complete labels; those with NaN are skipped.

        Args:
          start: Start of the stream, seconds.
          clicked: Seconds, `[n]`.
          labels: 0, 1 or NaN, `[n]`.
          predicted: Probabilities, `[n]`.
          young: Whether the ad was young, `[n]`.
        """
        stretch = np.floor(clicked / self._width).astype(np.int64)
        for number in np.unique(stretch).tolist():
            sums = self._open.setdefault(str(number), self._new())
            self._sum(sums, stretch == number, labels, predicted, young)
        self._sum(self._open[_TOTAL], clicked >= start + self._settle, labels, predicted, young)

    def close(self, *, before: float) -> list[Window]:
        """Closes the stretches that end before a moment, to which no label will be added any more."""
        done = [name for name in self._open if name != _TOTAL and (int(name) + 1) * self._width <= before]
        found = [self._window(name) for name in sorted(done, key=int)]
        for name in done:
            del self._open[name]
        self.closed += found
        return found

    def total(self) -> dict[str, dict[str, Any]]:
        """Metrics since the start of the stream."""
        return self._groups(self._open[_TOTAL])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The whole state as arrays."""
        closed = json.dumps([dataclasses.asdict(window) for window in self.closed]).encode()
        state: dict[str, npt.NDArray[Any]] = {"closed": np.frombuffer(closed, np.uint8)}
        for name, sums in self._open.items():
            state |= {f"{name}/histogram": sums.histogram, f"{name}/totals": sums.totals}
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restores the result of `state`."""
        self.closed = [Window(**window) for window in json.loads(state["closed"].tobytes())]
        self._open = {}
        for name in (key.removesuffix("/totals") for key in state if key.endswith("/totals")):
            sums = self._open[name] = self._new()
            sums.histogram, sums.totals = state[f"{name}/histogram"].copy(), state[f"{name}/totals"].copy()

    def _sum(self, sums: BinarySums, rows: Any, labels: Floats, predicted: Floats, young: Any) -> None:
        for group, own in enumerate((rows, rows & young)):
            if not own.any():
                continue
            y, p = labels[own].astype(np.float64), predicted[own].astype(np.float64)
            summands = binary_rows(
                labels=y, scores=p, weights=np.ones_like(y), from_logits=False, grid=self._grid, ops=NUMPY
            )
            sums.add(row=np.full(len(y), group), summands=summands)

    def _groups(self, sums: BinarySums) -> dict[str, dict[str, Any]]:
        found = {group: sums.result(row=row) for row, group in enumerate(GROUPS)}
        return {group: {name: _plain(values[name]) for name in SHOWN} for group, values in found.items()}

    def _window(self, name: str) -> Window:
        start = int(name) * self._width
        return Window(start=start, end=start + self._width, groups=self._groups(self._open[name]))


def _plain(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and not math.isfinite(value)) else value
