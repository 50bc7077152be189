"""Keeps Keras from complaining of callbacks at the first steps."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_callbacks() -> Iterator[None]:
    """Drops the warning that callbacks are slow.

    Keras times them at the first few steps of a process, in which they wait for graphs to be traced and files to be
    created; nobody could act on it.
    """

    def wanted(record: logging.LogRecord) -> bool:
        return "is slow compared to the batch time" not in str(record.msg)

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
