"""Keeps what GAUC needs of every row: it cannot be had from sums, because a key's rows are spread over the stream."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.factorise import factorise
from fullrank.models.metrics.group_auc import KeyAucs, key_aucs


class KeyRows:
    """Rows of a stream by key: an 8-byte key, float32 label, score and weight, and 2 bytes a segment.

    Integer keys stand for themselves. Bytes are hashed to 64 bits, the same in every process; among 10 million keys two
    share a hash with a probability of 3e-6.

    Args:
        segments: number of segment columns.
    """

    def __init__(self, *, segments: int) -> None:
        self._chunks: list[tuple[npt.NDArray[np.generic], ...]] = []
        self._segments = segments

    def add(
        self,
        *,
        keys: npt.NDArray[np.int64],
        labels: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        segment_rows: list[npt.NDArray[np.int64]],
    ) -> None:
        """Adds rows; every array is `[B]`."""
        columns = [column.astype(np.float32) for column in (labels, scores, weights)]
        self._chunks.append((keys, *columns, *(rows.astype(np.uint16) for rows in segment_rows)))

    def extend(self, *, other: KeyRows, row_maps: list[npt.NDArray[np.int64]]) -> None:
        """Adds another stream's rows; `row_maps` gives, for each segment, the row here of each row there."""
        for chunk in other._chunks:
            mapped = (rows[column].astype(np.uint16) for rows, column in zip(row_maps, chunk[4:], strict=True))
            self._chunks.append((*chunk[:4], *mapped))

    def aucs(self) -> KeyAucs:
        """Returns the AUC of every key."""
        keys, labels, scores, weights, *_ = self._columns()
        return key_aucs(keys=keys, labels=labels, scores=scores, weights=weights)

    def segment_aucs(self, *, segment: int, rows: int) -> list[KeyAucs]:
        """Returns, for each row of a segment, the AUC of every key within it: pairs of one key and one segment value."""
        keys, labels, scores, weights, *segments = self._columns()
        order = np.argsort(segments[segment], kind="stable")
        ends = np.cumsum(np.bincount(segments[segment], minlength=rows))[:-1]
        return [
            key_aucs(keys=keys[part], labels=labels[part], scores=scores[part], weights=weights[part])
            for part in np.split(order, ends)
        ]

    def _columns(self) -> list[npt.NDArray[np.generic]]:
        if not self._chunks:
            dtypes = (np.int64, np.float32, np.float32, np.float32, *([np.uint16] * self._segments))
            return [np.zeros(0, dtype) for dtype in dtypes]
        if len(self._chunks) > 1:
            self._chunks = [tuple(np.concatenate(column) for column in zip(*self._chunks, strict=True))]
        return list(self._chunks[0])


def key_codes(*, keys: npt.ArrayLike, column: str) -> npt.NDArray[np.int64]:
    """Returns an int64 for each key, `[B]`: an integer itself, or the hash of bytes.

    Raises:
        ValueError: if the keys are neither integers nor bytes nor strings.
    """
    array = np.asarray(keys).reshape(-1)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    distinct, codes = factorise(values=array, column=column)
    hashes = [hashlib.blake2b(bytes(value), digest_size=8).digest() for value in distinct]
    return np.frombuffer(b"".join(hashes), "<i8").astype(np.int64)[codes]
