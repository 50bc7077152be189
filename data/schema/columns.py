"""The physical columns of a record: what is stored, parsed, batched and served.

A feature says what a value means; a column says how it is stored in a record and in a batch. Both record layouts, the
converters, the reader and the serving signature know columns only, so a new kind of feature needs no change there.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

import numpy as np

DType = Literal["int64", "float32", "bytes"]
Form = Literal["one", "many", "fixed"]

MISSING_INT: Final = -1
MISSING_BYTES: Final = b""
MISSING_FLOAT: Final = float("nan")


_MISSING: Final[dict[DType, int | float | bytes]] = {
    "int64": MISSING_INT,
    "float32": MISSING_FLOAT,
    "bytes": MISSING_BYTES,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One named array of a record.

    In a batch of B rows a column is a dense tensor: `one` is `[B]`; `many` is `[B, length]`, values left-aligned, the
    rest filled with `missing`; `fixed` is `[B, length]`. A `many` column longer than `length` keeps its *last* `length`
    values, which are the most recent ones of a sequence.

    Attributes:
      name: Name in the record, in the batch and in the serving signature.
      dtype: `int64`, `float32` or `bytes`.
      form: `one` value, `many` (0 to `length`) or `fixed` (exactly `length`, or absent as a whole).
      length: Width of `many` and `fixed` in a batch; 1 for `one`.
      pad: Padding of a row of `many` if `missing` itself would be a value; only weights need it (0).
    """

    name: str
    dtype: DType
    form: Form = "one"
    length: int = 1
    pad: float | None = None

    def __post_init__(self) -> None:
        """Rejects a length that its form cannot have."""
        if self.length < 1 or (self.form == "one" and self.length != 1):
            raise ValueError(
                f"Column {self.name!r} of form {self.form!r} cannot have length {self.length}: "
                f"use 1 for 'one' and at least 1 for the others."
            )

    @property
    def missing(self) -> int | float | bytes:
        """The mark of a missing value: -1, NaN or the empty string (`pad` if given)."""
        if self.pad is not None:
            return self.pad
        return _MISSING[self.dtype]

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The dtype of this column as a NumPy array; bytes are objects."""
        return np.dtype(object if self.dtype == "bytes" else self.dtype)

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """Shape in a batch: `(None,)` or `(None, length)`."""
        return (None,) if self.form == "one" else (None, self.length)
