"""Starts the processes of a cluster on this machine, shows what they write, and ends them together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, Final

from fullrank.data.command.command import FAILED
from fullrank.trainers.strategies.tf_config import VARIABLE

_HOST: Final = "127.0.0.1"
_ROLE: Final = "worker"
_POLL: Final = 0.2
_TO_REPORT: Final = 30.0
"""Seconds in which the others may report what went wrong, once one has failed."""
_TO_END: Final = 10.0
"""Seconds from SIGTERM to SIGKILL."""


def run_cluster(command: Sequence[str], *, workers: int, to_report: float = _TO_REPORT) -> int:
    """Runs a command once for each worker, with TF_CONFIG, until the chief ends.

    The chief is worker 0. Each line that a process writes is shown after its name. When the chief has ended, the others
    are ended; when another one has failed, the chief has `to_report` seconds to end by itself. No process is left,
    whatever ends this function.

    Args:
      command: Program and arguments.
      workers: How many processes.
      to_report: Seconds.

    Returns:
      The exit code of the first process that failed, or that of the chief.
    """
    hosts = [f"{_HOST}:{port}" for port in free_ports(workers)]
    processes: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for index in range(workers):
            task = {"cluster": {_ROLE: hosts}, "task": {"type": _ROLE, "index": index}}
            # A session of its own: an interrupt at the terminal reaches this process alone, which ends the others.
            process = subprocess.Popen(  # noqa: S603
                command,
                env={**os.environ, VARIABLE: json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            processes.append(process)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                reader = threading.Thread(target=_copy, args=(source, target, f"{_ROLE} {index}"), daemon=True)
                reader.start()
                readers.append(reader)
        code = _wait(processes, to_report=to_report)
    finally:
        _end(processes)
        for reader in readers:
            reader.join(_TO_END)
    return code


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on; another program may still take them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(processes: Sequence[subprocess.Popen[str]], *, to_report: float) -> int:
    failed, since = 0, 0.0
    while processes[0].poll() is None:
        if not failed:
            failed = next((_code(process) for process in processes if process.poll()), 0)
            since = time.monotonic()
        elif time.monotonic() - since > to_report:
            return failed
        time.sleep(_POLL)
    return failed or _code(processes[0])


def _code(process: subprocess.Popen[str]) -> int:
    """The exit code as a shell gives it: 128 more than the number of a signal."""
    code = process.returncode
    return FAILED if code is None else 128 - code if code < 0 else code


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
    last = time.monotonic() + _TO_END
    for process in processes:
        try:
            process.wait(max(0.0, last - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        process.poll()


def _copy(source: IO[str], target: IO[str], name: str) -> None:
    with source:
        for line in source:
            target.write(f"[{name}] {line.rstrip()}\n")
            target.flush()
