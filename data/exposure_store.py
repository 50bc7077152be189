"""Counts earlier exposures of more rows than fit in memory: rows go to disk by person, and each part is counted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.bits import bit_rows
from fullrank.data.cells import WrongTypeError, integers, is_text, texts, times
from fullrank.data.columns import MISSING_BYTES, MISSING_INT
from fullrank.data.exposure_history import ExposureHistory, exposure_history
from fullrank.data.exposure_spec import COUNT, GAP, ExposureSpec, bits_length
from fullrank.data.lists import LIST_DELIMITER, flattened, plain
from fullrank.data.schema import Schema
from fullrank.data.similar_exposures import similar_exposures

_UNITS_PER_DAY: Final = {"s": 86_400.0, "ms": 86_400_000.0}


class ExposureStore:
    """Takes all rows once, in order, then tells the two columns of any of them.

    Ids become 64-bit digests of their text, so that 7 in a Parquet file and `7` in a CSV file are one person. A row
    without a person, an ad or a time is no exposure: it is not counted, and its own columns are missing.

    Args:
      spec: What to count.
      schema: With a time; its statistics are not needed.
      directory: An existing directory for what is on disk, some 40 bytes and the bits of a row.
      list_delimiter: What separates bits in text.
      parts: Into how many parts the people are divided; one of them has to fit in memory. It changes no result.
    """

    def __init__(
        self,
        spec: ExposureSpec,
        *,
        schema: Schema,
        directory: Path,
        list_delimiter: str = LIST_DELIMITER,
        parts: int = 64,
    ) -> None:
        self.spec = spec
        self._time, self._unit = str(schema.time), schema.time_unit
        self._length = bits_length(schema, spec) or 0
        self._delimiter = list_delimiter
        self._files = [directory / f"exposures-{part:03d}" for part in range(parts)]
        self._result = directory / "counted"
        self._values: npt.NDArray[Any] | None = None
        self.rows = self.repeated = 0
        fields = [("user", "i8"), ("ad", "i8"), ("time", "i8"), ("place", "i8"), ("bits", "i1", (self._length,))]
        self._dtype = np.dtype(fields)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that `add` reads."""
        return (*self.spec.columns, self._time)

    def add(self, batch: pa.RecordBatch, places: npt.NDArray[np.int64]) -> None:
        """Takes the next rows.

        Args:
          batch: With the columns `needed`.
          places: `[n]`, the numbers by which the rows are asked for later; ascending from 0, gaps allowed.

        Raises:
          ValueError: If a column holds no ids, times or bits.
        """
        found = np.zeros(batch.num_rows, self._dtype)
        user, ad = (self._ids(batch, name) for name in (self.spec.user, self.spec.ad))
        time = times(plain(batch.column(self._time)), unit=self._unit)
        there = (time.values != MISSING_INT) & (user != 0) & (ad != 0)
        there[time.bad] = False
        found["user"], found["ad"], found["time"], found["place"] = user, ad, time.values, places
        if self._length:
            found["bits"] = self._bits(batch)
        part = (user.view(np.uint64) % np.uint64(len(self._files))).astype(np.int64)
        for number in np.unique(part[there]).tolist():
            with self._files[number].open("ab") as file:
                file.write(found[there & (part == number)].tobytes())
        if len(places):
            self.rows = max(self.rows, int(places[-1]) + 1)

    def count(self) -> None:
        """Counts, once all rows are there."""
        self._values = np.memmap(self._result, np.float32, "w+", shape=(max(self.rows, 1), 2))
        self._values[:] = np.nan
        for file in self._files:
            if file.exists():
                rows = np.fromfile(file, self._dtype)
                history = self._history(rows)
                self._values[rows["place"], 0] = history.decayed_count
                self._values[rows["place"], 1] = history.gap_days
                self.repeated += int((history.earlier_count > 0).sum())
                file.unlink()

    def append(self, batch: pa.RecordBatch, places: npt.NDArray[np.int64]) -> pa.RecordBatch:
        """Rows with the two columns."""
        assert self._values is not None  # noqa: S101 - `count` comes first
        found = self._values[places]
        for column, name in enumerate((COUNT, GAP)):
            batch = batch.append_column(name, pa.array(np.array(found[:, column]), from_pandas=True))
        return batch

    def report(self) -> str:
        """One line on what was found."""
        similar = f" or one within {self.spec.radius} bits of its {self.spec.bits!r}" if self.spec.bits else ""
        share = self.repeated / max(self.rows, 1)
        return (
            f"Exposures: {share:.2%} of {self.rows:,} rows show {self.spec.user!r} an {self.spec.ad!r}{similar} again."
        )

    def _history(self, rows: npt.NDArray[Any]) -> ExposureHistory:
        given: dict[str, Any] = {
            "users": rows["user"],
            "ads": rows["ad"],
            "times": rows["time"],
            "tau_days": self.spec.tau_days,
        }
        given["units_per_day"] = _UNITS_PER_DAY[self._unit]
        if not self._length:
            return exposure_history(**given)
        return similar_exposures(**given, bits=rows["bits"], radius=self.spec.radius)

    def _ids(self, batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
        """Digests, 0 where there is no id."""
        try:
            cells = plain(batch.column(name))
            found = texts(cells if is_text(cells.type) else pa.array(_whole(cells))).values
        except WrongTypeError as error:
            raise ValueError(f"--exposures: column {name!r} {error}, but a person or an ad is an id.") from None
        distinct, codes = np.unique(found, return_inverse=True)
        digests = np.array([0 if text == MISSING_BYTES else _digest(text) for text in distinct.tolist()], np.int64)
        ids: npt.NDArray[np.int64] = digests[codes] if len(digests) else np.zeros(len(found), np.int64)
        return ids

    def _bits(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """What is no HashID counts as missing here; the conversion to records reports it."""
        name = str(self.spec.bits)
        cells = plain(batch.column(name))
        if is_text(cells.type):
            parsed = bit_rows(cells, length=self._length, delimiter=self._delimiter)
            parsed.values[parsed.bad] = MISSING_INT
            return parsed.values
        flat, lengths = flattened(cells, delimiter=self._delimiter)
        try:
            values = integers(flat).values
        except WrongTypeError as error:
            raise ValueError(f"--exposures: column {name!r} {error}, but HashIDs are bits.") from None
        whole = lengths == self._length
        bits = np.full((len(lengths), self._length), MISSING_INT, np.int64)
        bits[whole] = values[np.repeat(whole, lengths)].reshape(-1, self._length)
        return bits


def _whole(cells: pa.Array) -> pa.Array:
    """Whole numbers, null where missing: a Parquet file may hold ids with gaps as floats."""
    parsed = integers(cells)
    missing = parsed.values == MISSING_INT
    missing[parsed.bad] = True
    return pa.array(parsed.values, mask=missing)


def _digest(text: bytes) -> int:
    """Never 0; two of 10^8 ids share one with a probability below .001."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True) or 1
