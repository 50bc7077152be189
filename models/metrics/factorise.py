"""Finds the distinct values of a column of ids, and the rows that have one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fullrank.data.schema.columns import MISSING_BYTES, MISSING_INT


def factorise(*, values: npt.ArrayLike, column: str) -> tuple[list[int | bytes], npt.NDArray[np.int64]]:
    """Replaces ids by small codes.

    Args:
        values: Integers, bytes or strings, `[B]` or `[B, 1]`; strings become UTF-8 bytes.
        column: Name for messages.

    Returns:
        The distinct values, and the index of each row's value among them, `[B]`.

    Raises:
        ValueError: If `values` are neither integers nor bytes nor strings.
    """
    array = np.asarray(values).reshape(-1)
    if not array.size:
        return [], np.zeros(0, np.int64)
    if array.dtype.kind in "iub":
        distinct, codes = np.unique(array, return_inverse=True)
        return [int(value) for value in distinct], codes.reshape(-1).astype(np.int64)
    if array.dtype.kind not in "SUO":
        raise ValueError(f"column {column!r} holds ids: give integers, bytes or strings; received dtype {array.dtype}")
    # Python objects: counting up in a dictionary is several times faster than sorting them.
    seen: dict[Any, int] = {}
    codes = np.fromiter((seen.setdefault(value, len(seen)) for value in array.tolist()), np.int64, array.size)
    return [_as_bytes(value, column) for value in seen], codes


def has_key(keys: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows have a key, `[B]`: records hold -1 or an empty string where there is none."""
    array = np.asarray(keys).reshape(-1)
    if array.dtype.kind in "iub":
        return np.asarray(array != MISSING_INT)
    if array.dtype.kind in "SU":
        return np.asarray(array != array.dtype.type())
    return np.asarray((array != MISSING_BYTES) & (array != MISSING_BYTES.decode()))


def _as_bytes(value: Any, column: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    raise ValueError(f"column {column!r} holds ids: give integers, bytes or strings; received {type(value).__name__}")
