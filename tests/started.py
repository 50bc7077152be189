"""Processes of tests that end with the test, whatever becomes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_TO_END = 30.0
"""Seconds from SIGTERM to SIGKILL: a command may have to end processes of its own."""


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Starts a command; where the block leaves it running, it is ended, and not waited for as by `Popen` alone.

    Args:
      command: Program and arguments.
      options: Of `subprocess.Popen`.
    """
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_TO_END)
                except subprocess.TimeoutExpired:
                    process.kill()
