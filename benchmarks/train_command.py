"""What `fullrank train` costs besides its steps, in processor time and by part.

    python benchmarks/train_command.py --data=records --other=../before

A run of two steps and one validation of `me` is a process of its own, in which the parts are told apart by the
functions that they begin and end with; a part does not count the parts within it. `--other` names another checkout,
with a `.venv` of its own, whose command is measured in turn with this one. Without `--data`, records are drawn by
`fullrank prepare`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROWS: Final = {True: 3_000, False: 100_000}
"""Rows of the drawn records, if `--quick` and if not."""
FLAGS: Final = ["--model=me", "--epochs=1", "--steps_per_epoch=2", "--progress=none"]
FIRST, SECOND, REST = "first training step", "second training step", "everything else"
ALL, MEMORY = "the whole command", "peak memory"


class Parts:
    """Seconds of processor time of the parts of a process, each without the parts within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        # The interpreter has started already.
        self._open, self._last = [REST], 0.0

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measures a part."""
        self.charge()
        self._open.append(name)
        try:
            yield
        finally:
            self.charge()
            self._open.pop()

    def charge(self) -> None:
        """Adds what has passed to the innermost part that is open."""
        now = time.process_time()
        self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._last
        self._last = now

    def measure(self, owner: Any, attribute: str, name: str) -> None:
        """Makes a part of every call of a function, which it replaces where others look it up."""
        setattr(owner, attribute, self._measured(getattr(owner, attribute), name))

    def measure_steps(self, model_class: Any) -> None:
        """Makes a part of the first training step and of the second one."""
        make = model_class.make_train_function

        @functools.wraps(make)
        def made(model: Any, *arguments: Any) -> Callable[..., Any]:
            step, names = make(model, *arguments), iter((FIRST, SECOND))
            return lambda iterator: self._measured(step, next(names))(iterator)

        model_class.make_train_function = made

    def _measured(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return measured


def child(data: str, output: str) -> None:
    """Trains in this process, and prints the figures as JSON."""
    parts = Parts()
    with parts.part("importing TensorFlow"):
        from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly

        import_tensorflow_quietly()
    with parts.part("importing fullrank"):
        import tensorflow as tf

        from fullrank.models import Ranker
        from fullrank.trainers import train
        from fullrank.trainers.training import train_model
        from fullrank.trainers.training.fitting import Fitting
    parts.measure(train_model, "build_model", "building the model")
    parts.measure(train_model, "compile_model", "building the model")
    parts.measure(train_model, "label_warnings", "looking at labels")
    parts.measure(train_model, "validation_batches", "making pipelines")
    parts.measure(train_model, "training_batches", "making pipelines")
    parts.measure(tf.train.CheckpointManager, "save", "saving")
    parts.measure(Ranker, "evaluate", "validation")
    parts.measure(Fitting, "fit", "callbacks, iterators and the rest of fit")
    parts.measure_steps(Ranker)
    # The figures are the only line of standard output.
    with contextlib.redirect_stdout(sys.stderr):
        train.run(["fullrank train", f"--data={data}", f"--output={output}", *FLAGS])
    parts.charge()
    import report

    print(json.dumps({**parts.seconds, MEMORY: report.peak_memory() / 1e9}))


def measured(python: Path, data: Path) -> dict[str, float]:
    """The figures of a run by the command of an interpreter."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(python), __file__, "--child", str(data), f"{scratch}/run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            printed = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}: run it to see why.")
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    found[ALL] = sum(seconds for part, seconds in found.items() if part != MEMORY)
    return found


@contextlib.contextmanager
def records(given: str | None, *, rows: int) -> Iterator[Path]:
    """The records to train on; drawn ones if none are given."""
    if given is not None:
        yield Path(given).resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        made = ["prepare", "--dataset=synthetic", f"--rows={rows}", f"--output={scratch}/records"]
        subprocess.run([sys.executable, "-m", "fullrank", *made], check=True, stdout=subprocess.DEVNULL)
        yield Path(scratch) / "records"


def main() -> None:
    """Runs the benchmark."""
    import report

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", help="directory of records")
    parser.add_argument("--other", help="another checkout, measured in turn with this one")
    own, sys.argv[1:] = parser.parse_known_args()
    options = report.arguments(__doc__.splitlines()[0])
    sides = [Path(sys.executable)]
    if own.other is not None:
        sides.append(Path(os.path.abspath(own.other)) / ".venv" / "bin" / "python")
    found: list[list[dict[str, float]]] = [[] for _ in sides]
    with records(own.data, rows=ROWS[options.quick]) as data:
        for number in range(1 if options.quick else 3):
            order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
            for side in order:
                found[side].append(measured(sides[side], data))

    def sample(side: list[dict[str, float]], part: str) -> report.Sample:
        return report.Sample(tuple(each.get(part, 0.0) for each in side))

    rows = [
        report.compare(
            name=part,
            ours=sample(found[0], part),
            reference=sample(found[1], part) if len(found) > 1 and part in found[1][0] else None,
            unit="GB" if part == MEMORY else "s",
        )
        for part in found[0][0]
    ]
    report.emit(rows, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4])
    else:
        main()
