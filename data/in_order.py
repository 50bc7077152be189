"""Applies a function to a stream of items in several threads, and gives the results in the order of the items."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD: Final = 3
"""Items a thread may be behind: enough to keep all busy, few enough to bound memory."""


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int) -> Iterator[_Result]:
    """Yields `function(item)` for every item, in order, working on a few items ahead.

    Args:
      function: Of an item; it gains from threads where NumPy, Arrow or zlib does its work.
      items: Drawn from in the calling thread, no faster than results are used.
      threads: At least 1.
    """
    waiting: collections.deque[Future[_Result]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
