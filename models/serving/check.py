"""Replays a new export in a process with only TensorFlow, and compares its predictions with those of the model."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullrank.data.files.scratch import temporary_directory


class ExportMismatchError(ValueError):
    """A SavedModel does not load, or does not predict what the model that it was made from predicts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replayed:
    """One warm-up request to the new SavedModel.

    Attributes:
      signature: Its signature.
      rows: Rows in it.
      seconds: Median time of a call from Python.
      difference: Largest difference from the model's own outputs, relative to those above 1.
    """

    signature: str
    rows: int
    seconds: float
    difference: float


def check_export(
    directory: Path,
    *,
    expected: Sequence[tuple[str, Mapping[str, np.ndarray[Any, Any]]]],
    tolerance: float,
) -> list[Replayed]:
    """Replays the warm-up file of a SavedModel in a process that cannot import fullrank.

    Args:
      directory: The SavedModel.
      expected: Signature and the model's own outputs, for each request of the warm-up file, in its order.
      tolerance: Largest difference allowed, relative to outputs above 1.

    Raises:
      ExportMismatchError: If it cannot be loaded and called there, or an output differs or is missing.
    """
    with temporary_directory("replay") as temporary:
        answers = temporary / "answers.npz"
        _replay(directory.resolve(), answers, working=str(temporary))
        with np.load(answers) as loaded:
            arrays = dict(loaded)
    return [
        compared(number, signature, outputs, arrays, tolerance) for number, (signature, outputs) in enumerate(expected)
    ]


def _replay(directory: Path, answers: Path, *, working: str) -> None:
    script = Path(__file__).with_name("replay.py").read_bytes()
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # Run elsewhere, because Python puts the working directory on the path of a script from standard input.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-", str(directory), str(answers)],
        input=script,
        capture_output=True,
        check=False,
        cwd=working,
        env=environment,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise ExportMismatchError(
            "The exported model does not load and score in a process without fullrank: "
            f"{lines[-1].strip() if lines else f'exit code {done.returncode}'}"
        )


def compared(
    number: int,
    signature: str,
    expected: Mapping[str, np.ndarray[Any, Any]],
    arrays: Mapping[str, np.ndarray[Any, Any]],
    tolerance: float,
) -> Replayed:
    """Compares the answers to one request with what was expected.

    Args:
      number: Its number, which the names of its arrays begin with.
      signature: Its signature.
      expected: Output -> values.
      arrays: `number/output` -> the answer, and `number/seconds`.
      tolerance: Largest difference allowed, relative to values above 1.

    Raises:
      ExportMismatchError: If an output differs or is missing.
    """
    difference, rows = 0.0, 0
    for task, values in expected.items():
        answer = arrays.get(f"{number}/{task}")
        if answer is None or answer.shape != values.shape:
            gave = "nothing" if answer is None else answer.shape
            raise ExportMismatchError(
                f"Signature {signature!r} of the exported model gave {gave} for task {task!r}, the model itself "
                f"{values.shape}. Nothing was exported."
            )
        rows = len(values)
        if values.dtype.kind in "iuOS":
            _check_codes(signature, task, values.astype("S") if values.dtype == object else values, answer)
            continue
        # Values, unlike probabilities, can be large, and then float32 is only exact to some digits.
        # Equal infinities do not differ.
        answer = np.where(np.isinf(values) & (answer == values), 0.0, answer)
        values = np.where(np.isinf(values), 0.0, values)
        gap = float(np.max(np.abs(answer - values) / np.maximum(1.0, np.abs(values)), initial=0.0))
        if not gap <= tolerance:
            raise ExportMismatchError(
                f"Signature {signature!r} of the exported model differs from the model by {gap:.3g} in task {task!r} "
                f"({rows} rows); at most {tolerance:g} was expected. Nothing was exported."
            )
        difference = max(difference, gap)
    seconds = float(np.median(arrays[f"{number}/seconds"]))
    return Replayed(signature=signature, rows=rows, seconds=seconds, difference=difference)


def _check_codes(signature: str, output: str, values: np.ndarray[Any, Any], answer: np.ndarray[Any, Any]) -> None:
    """Checks that codes are equal, except in one row of a hundred: if two are equally close, rounding decides."""
    different = int((answer != values).any(axis=tuple(range(1, values.ndim))).sum())
    if different > max(1, len(values) // 100):
        raise ExportMismatchError(
            f"Signature {signature!r} of the exported model gave other codes than the model for {output!r} in "
            f"{different} of {len(values)} rows. Nothing was exported."
        )
