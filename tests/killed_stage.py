"""Runs one command to photograph what a kill would leave, and again on each of those states.

`test_killed` starts it with a shim in `LD_PRELOAD`, which stops the process before each operation that changes files.
Every run is a fork of this process, so that a command is imported once. On standard input comes one line of JSON that
says what to run, and then an empty line for each line of JSON on standard output.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


@dataclasses.dataclass(frozen=True)
class Photo:
    """What lay in the folder before an operation.

    Attributes:
      folder: A copy of all of it.
      number: Number of the operation, from 0.
    """

    folder: Path
    number: int


def stage() -> None:
    """Reads what to do from standard input, and prints one line of JSON for each state that a kill would leave."""
    task = json.loads(sys.stdin.readline())
    play = Stage(task)
    before = contents(Path(task["begin"]))
    play.restore(Path(task["begin"]))
    (play.work / "tmp").mkdir()
    whole, photos = play.photographed()
    if whole["code"]:
        raise SystemExit(f"the uninterrupted run failed: {whole['said']}")
    operations = whole.pop("operations")
    counts = {"operations": len(operations), "states": len(photos)}
    print(json.dumps({**whole, **counts, "before": before, "after": contents(play.work)}), flush=True)
    sys.stdin.readline()
    for photo in chosen(photos, operations, sample=task["sample"]):
        play.restore(photo.folder)
        left = contents(play.work)
        again = play.run()
        line = {"killed_at": operations[photo.number], "left": left, "again": again, "after": contents(play.work)}
        print(json.dumps(line), flush=True)
        sys.stdin.readline()  # until the files have been looked at


def chosen(photos: Sequence[Photo], operations: Sequence[str], *, sample: int | None) -> list[Photo]:
    """All states, or a seeded choice of those before operations that differ in kind."""
    if sample is None:
        return list(photos)
    kinds: dict[str, list[Photo]] = {}
    for photo in photos:
        kinds.setdefault(re.sub(r"[0-9a-f]{16}|\d+", "#", operations[photo.number]), []).append(photo)
    draw = np.random.default_rng(1)
    one_each = [of_kind[draw.integers(len(of_kind))] for of_kind in kinds.values()]
    places = draw.choice(len(one_each), min(sample, len(one_each)), replace=False)
    return sorted((one_each[place] for place in places), key=lambda photo: photo.number)


class Stage:
    """Runs one command again and again in forked processes, in one folder."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self.work = Path(task["work"])
        self._command = importlib.import_module(task["module"])
        for name in task["imports"]:
            importlib.import_module(name)

    def restore(self, folder: Path) -> None:
        """Makes the folder of the command a copy of another one."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(folder, self.work)

    def photographed(self) -> tuple[dict[str, Any], list[Photo]]:
        """Runs the command, and copies its folder before each operation unless it is as it was before."""
        photos: list[Photo] = []
        seen: set[str] = set()

        def look(number: int) -> None:
            state = json.dumps(contents(self.work))
            if state not in seen:
                seen.add(state)
                folder = self.work.with_name("photos") / str(number)
                photos.append(Photo(shutil.copytree(self.work, folder), number))

        return self.run(look), photos

    def run(self, look: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Runs the command; its exit code (negative: the signal), its operations, and what it said.

        Args:
          look: Is called with the number of each operation while the process stands still before it.
        """
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as operations:
            child = os.fork()
            if not child:
                self._act(stops=look is not None, said=said.fileno(), operations=operations.fileno())
            status = _wait(child, look)
            texts = []
            for file in (said, operations):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return {"code": os.waitstatus_to_exitcode(status), "said": texts[0], "operations": texts[1].splitlines()}

    def _act(self, *, stops: bool, said: int, operations: int) -> NoReturn:
        code = 70
        try:
            os.chdir(self.work)
            tempfile.tempdir = str(self.work / "tmp")
            os.dup2(said, 1)
            os.dup2(said, 2)
            shim: Any = ctypes.CDLL(None)
            shim.arm(os.fsencode(self.work), operations, int(stops), int(self._task["without_exchange"]))
            self._command.run([self._task["module"], *self._task["arguments"]])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


def _wait(child: int, look: Callable[[int], None] | None) -> int:
    """Lets a process go on each time that it has stopped; its status when it has ended."""
    for number in itertools.count():
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        if look is not None:
            look(number)
        os.kill(child, signal.SIGCONT)
    return status


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of every file below a folder; empty for a directory."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if "__autograph_generated_file" not in path.name
    }


if __name__ == "__main__":
    stage()
