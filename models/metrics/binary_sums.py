"""NumPy's state of the binary statistics, one row per segment value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.array_ops import NUMPY
from fullrank.models.metrics.binary_formulas import TOTALS, BinaryRows, binary_statistics
from fullrank.models.metrics.logit_grid import LogitGrid

NO_LABEL: Final = "no observed label of positive weight"


class BinarySums:
    """Histograms `[R, 3, bins]` and totals `[R, 4]` (see `binary_formulas`), growing with the number of rows R.

    Args:
        grid: The bins.
    """

    def __init__(self, *, grid: LogitGrid) -> None:
        self.histogram = np.zeros((1, 3, grid.bins))
        self.totals = np.zeros((1, TOTALS))

    def reserve(self, *, rows: int) -> None:
        """Makes room for `rows` rows; growth by doubling keeps copying rare."""
        missing = rows - self.totals.shape[0]
        if missing > 0:
            missing = max(missing, self.totals.shape[0])
            self.histogram = np.concatenate((self.histogram, np.zeros((missing, *self.histogram.shape[1:]))))
            self.totals = np.concatenate((self.totals, np.zeros((missing, TOTALS))))

    def add(self, *, row: npt.NDArray[np.int64], summands: BinaryRows) -> None:
        """Adds the contribution of each example to its row `[B]`; rows must be reserved."""
        bins = self.histogram.shape[2]
        flat = self.histogram.reshape(-1)
        first = row * (3 * bins) + summands.bin
        for column, values in enumerate(summands.columns):
            np.add.at(flat, first + column * bins, values)
        for column, values in enumerate(summands.totals):
            self.totals[:, column] += np.bincount(row, values, minlength=self.totals.shape[0])

    def merge(self, *, other: BinarySums, row_map: npt.NDArray[np.int64]) -> None:
        """Adds another stream's rows; `row_map` gives the row here of each row in use there."""
        self.reserve(rows=int(row_map.max()) + 1)
        for there, here in enumerate(row_map):
            self.histogram[here] += other.histogram[there]
            self.totals[here] += other.totals[there]

    def result(self, *, row: int) -> dict[str, Any]:
        """Returns one row's statistics as plain numbers, None where undefined, with the reason under `undefined`."""
        totals = self.totals[row]
        values = binary_statistics(histogram=self.histogram[row], totals=totals, ops=NUMPY)
        result = plain_numbers(values)
        examples = round(float(totals[0]))
        result |= {
            "examples": examples,
            "positives": _whole(float(totals[1])),
            "weight": float(self.histogram[row, :2].sum()),
        }
        missing = [key for key, value in result.items() if value is None]
        if missing:
            share = result["base_rate"]
            reason = NO_LABEL if not examples else f"no {'negative' if share else 'positive'} label"
            result["undefined"] = dict.fromkeys(missing, reason)
        return result


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Python floats, which JSON can hold, with None for NaN, which it cannot."""
    return {key: None if math.isnan(value) else float(value) for key, value in values.items()}


def _whole(value: float) -> float | int:
    """Counts stay integers; a sum of soft labels need not be one."""
    return int(value) if value.is_integer() else value
