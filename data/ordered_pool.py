"""Applies a function to a stream of items in several processes, and gives the results in the order of the items."""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Final, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD: Final = 3
"""Items a worker may be behind: enough to keep all busy, few enough to bound memory."""
_ALONE: Final = 8
"""Items done in this process before others are started, unless a number of workers is asked for: starting them takes
a second, in which a small data set is done."""


class OrderedPool:
    """Worker processes, started when they are worth it; with `workers=1` everything runs in this process.

    Processes are spawned, not forked, because the parent may run TensorFlow. So a script that uses them has to do
    its work below `if __name__ == "__main__":`, as always with `multiprocessing`.
    """

    def __init__(self, workers: int | None) -> None:
        """Prepares `workers` >= 1 processes; `None` stands for one a core, started after the first few items."""
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {workers}.")
        self._workers = workers if workers is not None else _cores()
        self._alone = 0 if workers is not None else _ALONE
        self._executor: ProcessPoolExecutor | None = None

    def map(
        self,
        function: Callable[[_Item | bytes], _Result],
        items: Iterable[_Item],
        *,
        pack: Callable[[_Item], bytes],
    ) -> Iterator[_Result]:
        """Yields `function(item)` for every item, in order, working on a few items ahead.

        Args:
          function: Module-level function of an item or of a packed one, or a `functools.partial` of one.
          items: Drawn from in this process, no faster than results are used.
          pack: Makes an item ready for its way to another process.

        Raises:
          RuntimeError: If a worker process died.
        """
        stream = iter(items)
        alone = None if self._workers == 1 else 0 if self._executor is not None else self._alone
        yield from map(function, itertools.islice(stream, alone))
        following = next(stream, None)
        if following is None:
            return
        if self._executor is None:
            spawning = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._workers, mp_context=spawning, initializer=_leave_interrupts)
        waiting: collections.deque[Future[_Result]] = collections.deque()
        try:
            for item in itertools.chain([following], stream):
                waiting.append(self._executor.submit(function, pack(item)))
                if len(waiting) >= self._workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process died: the machine may be out of memory, or a script starts work outside of "
                '`if __name__ == "__main__":`. Use workers=1 to work in one process.'
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> OrderedPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent ends the others, which need not say so, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
