"""Reads HashID bits that are written as text."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.cells import Parsed
from fullrank.data.columns import MISSING_INT

_HEXADECIMAL: Final = re.compile(r"(0[xX])?[0-9a-fA-F]+")


def bit_rows(cells: pa.Array, *, length: int, delimiter: str) -> Parsed:
    """Bits from text: `0101`, delimited `0|1|0|1`, or hexadecimal `5` or `0x5`; empty text is all missing.

    Text of exactly `length` characters 0 and 1 is read as bits, one of ceil(length / 4) hexadecimal digits as a number
    whose most significant bit is the first; bits beyond `length` must be 0.

    Args:
      cells: Flat Arrow array of text.
      length: Bits of a row.
      delimiter: What may separate the bits.

    Returns:
      int64 `[n, length]`.
    """
    encoded = pc.cast(cells, pa.binary()).dictionary_encode()
    table = np.full((len(encoded.dictionary) + 1, length), MISSING_INT, np.int64)
    wrong = np.zeros(len(table), bool)
    for position, raw in enumerate(encoded.dictionary.to_pylist()):
        text = raw.decode("utf-8", errors="replace").strip()
        if not text:
            continue
        bits = _bits(text.replace(delimiter, "") if delimiter else text, length)
        if bits is None:
            wrong[position] = True
        else:
            table[position] = bits
    codes = pc.fill_null(encoded.indices, len(table) - 1).to_numpy(zero_copy_only=False)
    return Parsed(table[codes], np.flatnonzero(wrong[codes]), f"is not {length} bits, as 0 and 1 or hexadecimal")


def _bits(text: str, length: int) -> npt.NDArray[np.int64] | None:
    if len(text) == length and set(text) <= {"0", "1"}:
        return np.array([int(character) for character in text], np.int64)
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if not _HEXADECIMAL.fullmatch(text) or len(digits) != -(-length // 4) or int(digits, 16) >> length:
        return None
    return np.array([int(character) for character in format(int(digits, 16), f"0{length}b")], np.int64)
