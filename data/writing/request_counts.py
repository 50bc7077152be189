"""Counts of the requests that are written, and where chunks and files of whole requests end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fullrank.data.tables.staged_rows import StagedRows
from fullrank.data.writing.request_columns import Requests


class RequestCounts:
    """What was written of a data set that is grouped by request.

    Attributes:
      rows: Rows.
      requests: Requests.
      more: How many of these are there because rows of a request differ in a column of the user.
    """

    def __init__(self) -> None:
        self.rows = self.requests = self.more = 0
        self._differing: set[str] = set()

    def add(self, written: Requests) -> None:
        """Adds a chunk."""
        self.rows += int(written.sizes.sum())
        self.requests += len(written.sizes)
        self.more += written.more
        self._differing |= written.differing

    def report(self) -> str | None:
        """A sentence or two; `None` without requests."""
        if not self.requests:
            return None
        per_request = self.rows / self.requests
        text = (
            f"Grouped {self.rows:,} rows by request: {self.requests:,} requests of {per_request:.1f} rows on average."
        )
        if self.more:
            columns = ", ".join(sorted(self._differing))
            text += f" {self.more:,} of them are there because rows of a request differ in: {columns}."
        return text


def request_ends(rows: StagedRows, where: str) -> npt.NDArray[np.int64]:
    """After how many rows of a split each of its requests ends, `[R]`."""
    counts = (
        f"SELECT count(*) AS rows FROM {rows.relation} WHERE {where} GROUP BY {rows.request} ORDER BY {rows.request}"
    )
    sizes = rows.connection.execute(counts).fetchnumpy()["rows"]
    return np.cumsum(sizes, dtype=np.int64)


def chunk_lengths(ends: Sequence[int], *, at_most: int, whole: npt.NDArray[np.int64] | None = None) -> Iterator[int]:
    """Lengths of chunks such that none crosses the end of a shard, nor, where that is possible, that of a request.

    Args:
      ends: After how many rows each shard ends.
      at_most: The most rows of a chunk.
      whole: After how many rows each request ends; `None` without requests.
    """
    done = 0
    for end in ends:
        while done < end:
            limit = min(done + at_most, end)
            if whole is not None:
                last = int(whole[max(0, int(np.searchsorted(whole, limit, side="right")) - 1)])
                limit = last if done < last <= limit else limit
            yield limit - done
            done = limit
