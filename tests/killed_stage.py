"""Runs one command again and again in forked processes, each killed before another of its file operations.

`test_killed` starts it with a shim in `LD_PRELOAD`, whose function `arm` says when to kill. On standard input comes one
line of JSON that says what to run, and then an empty line for each line of JSON on standard output.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


def stage() -> None:
    """Reads what to do from standard input, and prints one line of JSON for each kill."""
    task = json.loads(sys.stdin.readline())
    play = Stage(task)
    before = contents(Path(task["begin"]))
    whole = play.run(kill_at=0)
    if whole["code"]:
        raise SystemExit(f"the uninterrupted run failed: {whole['said']}")
    print(json.dumps({**whole, "before": before, "after": contents(play.work)}), flush=True)
    sys.stdin.readline()
    for point in chosen(whole["operations"], sample=task["sample"]):
        killed = play.run(kill_at=point)
        between = contents(play.work)
        again = play.run(kill_at=0, anew=False)
        line = {"point": point, "killed": killed, "between": between, "again": again, "after": contents(play.work)}
        print(json.dumps(line), flush=True)
        sys.stdin.readline()  # until the files have been looked at


def chosen(operations: Sequence[str], *, sample: int | None) -> list[int]:
    """Which operations to kill at, numbered from 1: all, or a seeded choice of those that differ in kind."""
    if sample is None:
        return list(range(1, len(operations) + 1))
    kinds: dict[str, list[int]] = {}
    for number, operation in enumerate(operations, 1):
        kinds.setdefault(re.sub(r"[0-9a-f]{16}|\d+", "#", operation), []).append(number)
    draw = np.random.default_rng(1)
    one_each = [int(draw.choice(numbers)) for numbers in kinds.values()]
    return sorted(draw.choice(one_each, min(sample, len(one_each)), replace=False).tolist())


class Stage:
    """Runs one command again and again in forked processes, on a copy of a folder."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self.work = Path(task["work"])
        self._command = importlib.import_module(task["module"])
        for name in task["imports"]:
            importlib.import_module(name)

    def run(self, *, kill_at: int, anew: bool = True) -> dict[str, Any]:
        """Runs the command; its exit code (negative: the signal), its operations, and what it said."""
        if anew:
            shutil.rmtree(self.work, ignore_errors=True)
            shutil.copytree(self._task["begin"], self.work)
            (self.work / "tmp").mkdir()
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as operations:
            child = os.fork()
            if not child:
                self._act(kill_at, said.fileno(), operations.fileno())
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (said, operations):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return {"code": os.waitstatus_to_exitcode(status), "said": texts[0], "operations": texts[1].splitlines()}

    def _act(self, kill_at: int, said: int, operations: int) -> NoReturn:
        code = 70
        try:
            os.chdir(self.work)
            tempfile.tempdir = str(self.work / "tmp")
            os.dup2(said, 1)
            os.dup2(said, 2)
            # A counter that never reaches its last step only counts.
            last = ctypes.c_long(kill_at or sys.maxsize)
            ctypes.CDLL(None).arm(last, os.fsencode(self.work), operations, int(self._task["without_exchange"]))
            self._command.run([self._task["module"], *self._task["arguments"]])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of every file below a folder; empty for a directory."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if "__autograph_generated_file" not in path.name
    }


if __name__ == "__main__":
    stage()
