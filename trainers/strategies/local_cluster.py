"""Starts the processes of a cluster on this machine, shows what they write, and ends them together."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Final

from fullrank.data.command.command import FAILED
from fullrank.trainers.strategies.tf_config import CHIEF, JOINED, SERVER, VARIABLE, WORKER

_HOST: Final = "127.0.0.1"
_PORTS: Final = range(15000, 30000)
_TRIES: Final = 10_000
_SHOWN: Final = {SERVER: "server"}
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_POLL: Final = 0.2
_TO_REPORT: Final = 30.0
"""Seconds in which the others may report what went wrong, once one has failed."""
_TO_END: Final = 10.0
"""Seconds from SIGTERM to SIGKILL."""


def run_cluster(command: Sequence[str], *, workers: int, servers: int = 0, to_report: float = _TO_REPORT) -> int:
    """Runs a command once for each process of a cluster, with TF_CONFIG, until the chief ends.

    The chief is worker 0; with parameter servers it is one more process, which goes on without a worker that fails as
    long as there is another, once it has said that all have joined. Each line that a process writes is shown after its
    name. When the chief has ended, the others are ended; when one that it needs has failed, the chief has `to_report`
    seconds to end by itself. No process is left, whatever ends this function.

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
    processes: dict[str, subprocess.Popen[str]] = {}
    joined = threading.Event()
    readers: list[threading.Thread] = []
    try:
        for role, index in tasks:
            task = {"cluster": cluster, "task": {"type": role, "index": index}}
            name = role if role == CHIEF else f"{_SHOWN.get(role, role)} {index}"
            with _held_signals() as signals:
                # A session of its own: an interrupt at the terminal reaches this process alone, which ends the others.
                process = processes[name] = subprocess.Popen(  # noqa: S603
                    command,
                    env={**os.environ, VARIABLE: json.dumps(task)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            if signals:
                signal.raise_signal(signals[0])
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                reader = threading.Thread(target=_copy, args=(source, target, name, joined), daemon=True)
                reader.start()
                readers.append(reader)
        spared = [f"{WORKER} {index}" for index in range(workers)] if servers else []
        code = _wait(processes, spared=spared, joined=joined, to_report=to_report)
    finally:
        _end([*processes.values()])
        for reader in readers:
            reader.join(_TO_END)
    return code


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on.

    They are below those that systems give to outgoing connections, one of which could take a port before the process
    that it is meant for listens; another program that asks for the very port still may.
    """
    found: list[int] = []
    draw = random.SystemRandom()
    with ExitStack() as stack:
        for _ in range(_TRIES):
            each = stack.enter_context(socket.socket())
            with suppress(OSError):
                each.bind((_HOST, draw.choice(_PORTS)))
                found.append(each.getsockname()[1])
            if len(found) == number:
                return found
    raise ValueError(f"{number} free ports were not found from {_PORTS.start} to {_PORTS.stop - 1} at {_HOST}.")


def _wait(
    processes: Mapping[str, subprocess.Popen[str]], *, spared: Sequence[str], joined: threading.Event, to_report: float
) -> int:
    """Waits for the chief, the first process; the spared ones may end, once all have joined, until none is left.

    Before, the chief would wait for them for ever. Workers that serve a chief, and servers, do not end by themselves:
    such an end is a failure whatever its code.
    """
    chief, *others = processes
    failed, since = 0, 0.0
    lost: list[str] = []
    while processes[chief].poll() is None:
        if not failed:
            codes = {name: processes[name].poll() for name in others}
            ended = [name for name, code in codes.items() if code or (spared and code == 0)]
            for name in ended:
                if joined.is_set() and name in spared and name not in lost:
                    lost.append(name)
                    print(f"[{name}] has ended; training goes on without it.", file=sys.stderr)
            for name in ended:
                if name not in lost or len(lost) == len(spared):
                    code = _code(processes[name])
                    print(f"[{name}] has ended with code {code}; training needs it.", file=sys.stderr)
                    failed = code or FAILED
                    break
            since = time.monotonic()
        elif time.monotonic() - since > to_report:
            return failed
        time.sleep(_POLL)
    return failed or _code(processes[chief])


def _code(process: subprocess.Popen[str]) -> int:
    """The exit code as a shell gives it: 128 more than the number of a signal."""
    code = process.returncode
    return FAILED if code is None else 128 - code if code < 0 else code


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Ends all of them, and kills those that take too long; a signal meanwhile shortens the time that they have."""
    with _held_signals() as signals:
        for process in processes:
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
        last = time.monotonic() + _TO_END
        while not signals and time.monotonic() < last and any(process.poll() is None for process in processes):
            time.sleep(_POLL)
        for process in processes:
            if process.poll() is None:
                _signal(process, signal.SIGKILL)
            process.wait()


@contextmanager
def _held_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in the list, in place of what else they would do to the block."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, lambda *given: came.append(given[0])) for number in _ENDING}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(process: subprocess.Popen[str], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        process.poll()


def _copy(source: IO[str], target: IO[str], name: str, joined: threading.Event) -> None:
    with source:
        for line in source:
            if name == CHIEF and line.rstrip() == JOINED:
                joined.set()
            target.write(f"[{name}] {line.rstrip()}\n")
            target.flush()
