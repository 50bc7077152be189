"""Keeps the rows that GAUC needs: sums are not enough, because a key's rows are spread over the stream."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fullrank.models.metrics.factorise import factorise
from fullrank.models.metrics.group_auc import KeyAucs, key_aucs


class _Rows(NamedTuple):
    """Columns `[N]`, and one `[N]` column per segment."""

    keys: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    segments: tuple[npt.NDArray[np.uint16], ...]

    def aucs(self) -> KeyAucs:
        return key_aucs(keys=self.keys, labels=self.labels, scores=self.scores, weights=self.weights)


class KeyRows:
    """Rows of a stream by key: an 8-byte key, float32 label, score and weight, and 2 bytes per segment.

    Args:
        segments: Number of segment columns.
    """

    def __init__(self, *, segments: int) -> None:
        empty = np.zeros(0, np.float32)
        self._chunks = [_Rows(np.zeros(0, np.int64), empty, empty, empty, (np.zeros(0, np.uint16),) * segments)]

    def add(
        self,
        *,
        keys: npt.NDArray[np.int64],
        labels: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        segment_rows: Sequence[npt.NDArray[np.int64]],
    ) -> None:
        """Adds rows; every array is `[B]`."""
        labels32, scores32, weights32 = (column.astype(np.float32) for column in (labels, scores, weights))
        self._chunks.append(_Rows(keys, labels32, scores32, weights32, _small(segment_rows)))

    def extend(self, *, other: KeyRows, row_maps: Sequence[npt.NDArray[np.int64]]) -> None:
        """Adds another stream's rows; `row_maps` gives, for each segment, the row here of each row there."""
        for chunk in other._chunks:
            mapped = [row_map[rows] for row_map, rows in zip(row_maps, chunk.segments, strict=True)]
            self._chunks.append(chunk._replace(segments=_small(mapped)))

    def aucs(self) -> KeyAucs:
        """Returns the AUC of every key."""
        return self._joined().aucs()

    def segment_aucs(self, *, segment: int, rows: int) -> list[KeyAucs]:
        """Returns, for each row of a segment, the AUC of every key within it.

        A pair counts if its two rows share the key and the segment value.
        """
        joined = self._joined()
        values = joined.segments[segment]
        order = np.argsort(values, kind="stable")
        ends = np.cumsum(np.bincount(values, minlength=rows))[:-1]
        return [
            _Rows(joined.keys[part], joined.labels[part], joined.scores[part], joined.weights[part], ()).aucs()
            for part in np.split(order, ends)
        ]

    def _joined(self) -> _Rows:
        if len(self._chunks) > 1:
            keys, labels, scores, weights, segments = zip(*self._chunks, strict=True)
            self._chunks = [
                _Rows(
                    np.concatenate(keys),
                    np.concatenate(labels),
                    np.concatenate(scores),
                    np.concatenate(weights),
                    tuple(np.concatenate(column) for column in zip(*segments, strict=True)),
                )
            ]
        return self._chunks[0]


def _small(columns: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.uint16], ...]:
    return tuple(column.astype(np.uint16) for column in columns)


def key_codes(*, keys: npt.ArrayLike, column: str) -> npt.NDArray[np.int64]:
    """Returns an int64 for each key, `[B]`.

    An integer stands for itself. Bytes and strings are hashed to 64 bits, the same in every process; among 10 million
    keys two share a hash with a probability of 3e-6.

    Raises:
        ValueError: If the keys are neither integers nor bytes nor strings.
    """
    array = np.asarray(keys).reshape(-1)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    distinct, codes = factorise(values=array, column=column)
    hashes = [hashlib.blake2b(bytes(value), digest_size=8).digest() for value in distinct]
    return np.array([int.from_bytes(value, "little", signed=True) for value in hashes], np.int64)[codes]
