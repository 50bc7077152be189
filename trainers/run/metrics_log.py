"""`metrics.jsonl`, one JSON object per line every few steps and every epoch; and event files left by a killed run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from fullrank.data.files.scratch import clear_leftovers
from fullrank.data.files.write_aside import file_aside, write_text
from fullrank.data.records.frames import framed, read_frames


class MetricsLog:
    """Appends lines, each complete before the next step begins, and removes those that a killed run wrote too many.

    Every line has `kind` (`train` or `epoch`), `epoch` (from 1), `step` (of the whole run) and the metrics; a number
    that is not finite is null.

    Args:
      file: The file; created with the first line.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, *, kind: str, epoch: int, step: int, values: Mapping[str, Any]) -> None:
        """Adds one line."""
        line = {"kind": kind, "epoch": epoch, "step": step, **{name: number(value) for name, value in values.items()}}
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines so far, up to one that was cut off."""
        if not self._file.exists():
            return
        with open(self._file, encoding="utf-8") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    return
                yield line

    def cut_after(self, step: int) -> None:
        """Drops the lines of later steps, which the resumed run will write again."""
        if not self._file.exists():
            return
        kept = [json.dumps(line) + "\n" for line in self.lines() if line["step"] <= step]
        write_text(self._file, "".join(kept))


def number(value: Any) -> float | None:
    """A scalar (also a tensor or a NumPy one) as JSON can hold it."""
    plain = float(value)
    return plain if math.isfinite(plain) else None


def cut_events_after(directory: Path, step: int) -> None:
    """Drops the events of later steps, which the resumed run writes again, and an event that is cut off.

    TensorFlow begins a new file in each process. A file in which nothing is left is deleted.

    Args:
      directory: Searched with its subfolders.
      step: The last step whose events are kept, counted over the whole run.
    """
    for file in sorted(directory.rglob("*tfevents*")):
        clear_leftovers(file)
        if file.is_file():
            _cut(file, step)


def _cut(file: Path, step: int) -> None:
    events = list(_whole(file))
    kept = [event for event in events if event.step <= step]
    if not any(event.HasField("summary") for event in kept):
        file.unlink()
        return
    content = framed(event.SerializeToString() for event in kept)
    if len(content) != file.stat().st_size:
        with file_aside(file) as aside:
            aside.write_bytes(content)


def _whole(file: Path) -> Iterator[tf.compat.v1.Event]:
    for frame in read_frames(file, compression=""):
        if frame.data is None:
            return
        yield tf.compat.v1.Event.FromString(frame.data)
