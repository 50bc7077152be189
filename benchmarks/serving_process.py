"""One side of a comparison of servers: a process that holds one model, started, asked and ended."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

PAUSE: Final = 0.05
"""Seconds in which the threads of the side before go to sleep."""
_THREADS: Final = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


class Side:
    """A process that holds one model; see `serving_side`."""

    def __init__(self, how: str, model: Path, requests: Path, *, onednn: bool, threads: int | None = None) -> None:
        number = "" if threads is None else str(threads)
        limits = dict.fromkeys(_THREADS, number) if number else {}
        code = "import sys, serving_side; serving_side.main(*sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, how, str(model), str(requests), number],
            cwd=Path(__file__).resolve().parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn)), **limits},
        )
        self._orders: Any = self._process.stdin
        self._answers: Any = self._process.stdout
        self._answer()

    def outputs(self, rows: int) -> np.ndarray[Any, Any]:
        """The probabilities of the request of `rows` rows."""
        return np.array(self._ask({"rows": rows}))

    def milliseconds(self, rows: int, *, calls: int) -> float:
        """The median time of a call now."""
        return statistics.median(self._ask({"rows": rows, "calls": calls})) * 1e3

    def seconds(self, rows: int, *, calls: int) -> tuple[float, float]:
        """Seconds of a call now: by the clock, and of the processor."""
        wall, processor = self._ask({"rows": rows, "calls": calls, "processor": 1})
        return wall, processor

    def close(self) -> None:
        """Ends the process."""
        self._orders.close()
        self._process.wait()

    def _ask(self, order: dict[str, int]) -> list[float]:
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        answer: list[float] = self._answer()
        return answer

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"a side of the benchmark ended with exit code {self._process.wait()}")
        return json.loads(line)
