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
from fullrank.trainers.strategies.tf_config import CHIEF, SERVER, VARIABLE, WORKER

_HOST: Final = "127.0.0.1"
_SHOWN: Final = {SERVER: "server"}
_POLL: Final = 0.2
_TO_REPORT: Final = 30.0
"""Seconds in which the others may report what went wrong, once one has failed."""
_TO_END: Final = 10.0
"""Seconds from SIGTERM to SIGKILL."""


def run_cluster(command: Sequence[str], *, workers: int, servers: int = 0, to_report: float = _TO_REPORT) -> int:
    """Runs a command once for each process of a cluster, with TF_CONFIG, until the chief ends.

    The chief is worker 0; with parameter servers it is one more process, which goes on without a worker that fails as
    long as there is another. Each line that a process writes is shown after its name. When the chief has ended, the
    others are ended; when one that it needs has failed, the chief has `to_report` seconds to end by itself. No process
    is left, whatever ends this function.

    Args:
      command: Program and arguments.
      workers: How many workers.
      servers: How many parameter servers; 0 for workers that need none.
      to_report: Seconds.

    Returns:
      The exit code of the first process that failed, or that of the chief.
    """
    numbers = {CHIEF: 1, WORKER: workers, SERVER: servers} if servers else {WORKER: workers}
    hosts = iter([f"{_HOST}:{port}" for port in free_ports(sum(numbers.values()))])
    cluster = {role: [next(hosts) for _ in range(number)] for role, number in numbers.items()}
    tasks = [(role, index) for role, number in numbers.items() for index in range(number)]
    processes: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for role, index in tasks:
            task = {"cluster": cluster, "task": {"type": role, "index": index}}
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
            name = role if role == CHIEF else f"{_SHOWN.get(role, role)} {index}"
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                reader = threading.Thread(target=_copy, args=(source, target, name), daemon=True)
                reader.start()
                readers.append(reader)
        code = _wait(processes, spared=range(1, 1 + workers) if servers else range(0), to_report=to_report)
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


def _wait(processes: Sequence[subprocess.Popen[str]], *, spared: range, to_report: float) -> int:
    """Waits for the chief, the first process; the spared ones may fail until none of them is left."""
    failed, since = 0, 0.0
    lost: list[int] = []
    while processes[0].poll() is None:
        if not failed:
            for place in spared:
                if processes[place].poll() and place not in lost:
                    lost.append(place)
                    print(f"[worker {place - spared[0]}] has ended; training goes on without it.", file=sys.stderr)
            needed = [process for place, process in enumerate(processes) if place not in lost or lost == [*spared]]
            failed = next((_code(process) for process in needed if process.poll()), 0)
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
