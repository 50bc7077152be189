"""Running counts, sums and histories of what was known before each event, without the event itself.

"Before" means a strictly smaller timestamp. Events of the same timestamp do not see one another, whichever of them
comes first in the file: users rate several items within one second, and which was first is not known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class _Order(NamedTuple):
    """Events sorted by key, then time; row k of the arrays below is the k-th event in that order."""

    rows: Ints
    start: Ints  # where the key's events begin
    tie: Ints  # where the key's events of the same timestamp begin: everything before it is the past


class History(NamedTuple):
    """Past events of every row, oldest first: `events[sum(lengths[:n]) :][: lengths[n]]` are those of row n."""

    events: Ints
    lengths: Ints


def _order(key: npt.NDArray[np.generic], time: Ints) -> _Order:
    _, codes = np.unique(key, return_inverse=True)
    rows = np.lexsort((time, codes)).astype(np.int64)  # stable: ties keep the order of the input
    codes, time = codes[rows], time[rows]
    position = np.arange(len(rows), dtype=np.int64)
    new_key = np.ones(len(rows), dtype=bool)
    new_key[1:] = codes[1:] != codes[:-1]
    new_time = new_key.copy()
    new_time[1:] |= time[1:] != time[:-1]
    return _Order(
        rows=rows,
        start=np.maximum.accumulate(np.where(new_key, position, 0)),
        tie=np.maximum.accumulate(np.where(new_time, position, 0)),
    )


def past_count(*, key: npt.NDArray[np.generic], time: Ints) -> Ints:
    """Earlier events of the same key.

    Args:
      key: `[n]`, e.g. user ids.
      time: `[n]` event times.

    Returns:
      `[n]` counts.
    """
    order = _order(key, time)
    count = np.empty(len(order.rows), dtype=np.int64)
    count[order.rows] = order.tie - order.start
    return count


def past_sum(*, key: npt.NDArray[np.generic], time: Ints, value: Floats) -> Floats:
    """Sum of `value` over the earlier events of the same key; shapes as in `past_count`."""
    order = _order(key, time)
    running = np.concatenate([[0.0], np.cumsum(value[order.rows])])
    total = np.empty(len(order.rows), dtype=np.float64)
    total[order.rows] = running[order.tie] - running[order.start]
    return total


def past_rate(
    *, key: npt.NDArray[np.generic], time: Ints, value: Floats, prior: Floats | float, strength: float
) -> Floats:
    """Smoothed mean of `value` over the earlier events of the same key: (sum + strength * prior) / (count + strength).

    Args:
      key: `[n]`, e.g. user ids.
      time: `[n]` event times.
      value: `[n]`, e.g. clicks.
      prior: The value for a key without a past; `[n]` or one number. It must itself be known before the event.
      strength: The number of events that the prior counts as.

    Returns:
      `[n]` rates.
    """
    total = past_sum(key=key, time=time, value=value)
    return (total + strength * prior) / (past_count(key=key, time=time) + strength)


def past_events(
    *, key: npt.NDArray[np.generic], time: Ints, most: int, where: npt.NDArray[np.bool_] | None = None
) -> History:
    """The last `most` earlier events of the same key, for every event.

    Args:
      key: `[n]`, e.g. user ids.
      time: `[n]` event times.
      most: Longest history.
      where: `[n]`, the events that enter histories, such as clicks; `None` for all. Every event has a history.

    Returns:
      Row numbers of the past events, oldest first, and how many each row has.
    """
    order = _order(key, time)
    kept = np.ones(len(order.rows), bool) if where is None else where[order.rows]
    # The k-th remembered event, and how many there are before each place in the order.
    remembered = order.rows[kept]
    before = np.concatenate([[0], np.cumsum(kept)])
    last = before[order.tie]
    first = np.maximum(before[order.start], last - most)
    begin, length = np.empty_like(first), np.empty_like(first)
    begin[order.rows], length[order.rows] = first, last - first
    ends = np.cumsum(length)
    offset = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - length, length)
    return History(events=remembered[np.repeat(begin, length) + offset], lengths=length)


def along(history: History, values: Any) -> pa.Array:
    """The values of the events of each row's history, one list per row."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(history.lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values).take(pa.array(history.events)))


def latest(history: History, values: Any) -> pa.Array:
    """The value of the last event of each row's history, null where there is none."""
    last = np.append(history.events, 0)[np.maximum(np.cumsum(history.lengths) - 1, 0)]
    return pa.array(values).take(pa.array(last, mask=history.lengths == 0))
