"""The rows of a table in fewer bytes, for serving: bfloat16, or int8 with a scale for each row.

A row r of int8 is stored as whole numbers q in -127..127 and a scale s, and read as `s q`:

    s = max_j |r_j| / 127,   q_j = round(r_j / s),   so that |r_j - s q_j| <= s / 2.

Only the rows that a batch looks up are turned back.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fullrank.layers.remote_rows import full_name

RowDtype = Literal["bfloat16", "int8"]

_LARGEST: Final = 127
_CHUNK: Final = 2**18
_SMALLEST_SCALE: Final = float(np.finfo(np.float32).tiny)


class CompactRows(tf.Module):
    """A copy of a table that is looked up, and not trained.

    Attributes:
      stored: `[N, d]`, bfloat16 or int8.
      scales: `[N, 1]` float32, with int8; else `None`.

    Args:
      table: `[N, d]` float32.
      dtype: What its rows are stored as.

    Raises:
      ValueError: If a row holds a NaN or an infinity, or a number that bfloat16 rounds to one; the message names the
        row.
    """

    def __init__(self, table: tf.Variable, dtype: RowDtype) -> None:
        name = full_name(table)
        super().__init__(name="compact_rows")
        rows, width = (int(size) for size in table.shape)
        self.scales: tf.Variable | None = None
        if dtype == "bfloat16":
            for start in range(0, rows, _CHUNK):
                rounded = tf.cast(tf.cast(table[start : start + _CHUNK], tf.bfloat16), tf.float32)
                require_finite_rows(rounded.numpy(), table=name, first=start)
            self.stored = tf.Variable(tf.cast(table, tf.bfloat16), trainable=False, name=name)
            return
        codes, scales = np.empty((rows, width), np.int8), np.empty((rows, 1), np.float32)
        for start in range(0, rows, _CHUNK):
            part = slice(start, start + _CHUNK)
            values = table[part].numpy()
            require_finite_rows(values, table=name, first=start)
            codes[part], scales[part] = int8_rows(values)
        self.stored = tf.Variable(codes, trainable=False, name=name)
        self.scales = tf.Variable(scales, trainable=False, name=f"{name}/scales")

    @property
    def size(self) -> int:
        """Bytes."""
        held = [self.stored] if self.scales is None else [self.stored, self.scales]
        return sum(variable.shape.num_elements() * variable.dtype.size for variable in held)

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows `[...]` to `[..., d]`, in bfloat16 or, from int8, in float32."""
        found = tf.gather(self.stored, rows)
        if self.scales is None:
            return found
        return tf.cast(found, tf.float32) * tf.gather(self.scales, rows)

    def part(self, start: int, stop: int) -> tf.Tensor:
        """The rows from `start` up to `stop`, `[n, d]` float32."""
        return tf.cast(self.gather(tf.range(start, stop)), tf.float32)


def int8_rows(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Codes `[N, d]` and scales `[N, 1]` of finite rows.

    A row whose scale would be below the smallest normal float32, about 1e-38, is stored as zeros, as a row of zeros is.
    """
    scales = np.max(np.abs(values), axis=1, keepdims=True, initial=0.0) / np.float32(_LARGEST)
    with np.errstate(over="ignore"):
        overflows = np.isinf(scales * np.float32(_LARGEST))
    scales = np.where(overflows, np.nextafter(scales, np.float32(0)), scales)
    there = scales >= _SMALLEST_SCALE
    scales = np.where(there, scales, np.float32(0))
    codes = np.rint(values / np.where(there, scales, np.float32(1)))
    codes = np.where(there, np.clip(codes, -_LARGEST, _LARGEST), 0)
    return codes.astype(np.int8), scales.astype(np.float32)


def require_finite_rows(values: npt.NDArray[Any], *, table: str, first: int = 0) -> None:
    """Raises ValueError if a row is not finite.

    Args:
      values: `[n, d]`.
      table: Name of the table, for the message.
      first: Number of the first row.
    """
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        value = values[row][~np.isfinite(values[row])][0]
        raise ValueError(
            f"Row {first + row} of {table} holds {value}, which cannot be stored in fewer bytes: the model has "
            "diverged there. Train again with a smaller learning rate."
        )
