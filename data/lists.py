"""Splits a column of lists into flat values and lengths, whether it holds real lists or text."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.cells import is_text

LIST_DELIMITER: Final = "|"


def plain(cells: pa.Array) -> pa.Array:
    """The same values without dictionary encoding, extension type or view layout, which some functions do not take."""
    if isinstance(cells, pa.ExtensionArray):
        cells = cells.storage
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if cells.type in (pa.string_view(), pa.binary_view()):
        cells = pc.cast(cells, pa.large_binary() if cells.type == pa.binary_view() else pa.large_string())
    return cells


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of any layout."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def flattened(cells: pa.Array, *, delimiter: str = LIST_DELIMITER) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """All values of all rows, and how many each row has; a missing list has none.

    Text is split at `delimiter`. Where every text is in brackets, as in `[1, 2]` or `['a', 'b']`, it is split at
    commas, or at white space where there are none. Anything else is one value a row.

    Args:
      cells: Arrow array of n rows.
      delimiter: What separates values in text.

    Returns:
      A flat Arrow array and the lengths `[n]`.
    """
    if pa.types.is_null(cells.type):
        return cells.slice(0, 0), np.zeros(len(cells), np.int32)
    if is_list(cells.type):
        return plain(cells.flatten()), _lengths(cells)
    if is_text(cells.type):
        return _split(pc.cast(cells, pa.large_binary()), delimiter)
    present = pc.is_valid(cells)
    return cells.filter(present), present.to_numpy(zero_copy_only=False).astype(np.int32)


def _lengths(lists: pa.Array) -> npt.NDArray[np.int32]:
    lengths: npt.NDArray[np.int32] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int32)


def _split(texts: pa.Array, delimiter: str) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    # Splitting empty text would give one empty part; here it is a list without values.
    texts = pc.if_else(pc.equal(pc.binary_length(texts), 0), pa.scalar(None, texts.type), texts)
    bracketed = pc.starts_with(texts, b"[")
    if bracketed.null_count < len(bracketed) and pc.all(bracketed).as_py():
        try:
            return _split_bracketed(pc.cast(texts, pa.large_string()))
        except pa.ArrowInvalid:  # not UTF-8, so not a list that a program printed
            pass
    split = pc.split_pattern(texts, delimiter)
    return split.flatten(), _lengths(split)


def _split_bracketed(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    inner = pc.ascii_trim_whitespace(pc.replace_substring_regex(texts, r"^\[\s*|\s*\]\s*$", ""))
    inner = pc.if_else(pc.equal(pc.binary_length(inner), 0), pa.scalar(None, inner.type), inner)
    commas = pc.any(pc.match_substring(inner, ",")).as_py()
    split = pc.split_pattern_regex(inner, r"\s*,\s*" if commas else r"\s+")
    return pc.ascii_trim(split.flatten(), "'\""), _lengths(split)
