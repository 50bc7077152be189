"""Event files of TensorBoard as a killed run leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from fullrank.data.record_file import framed, read_frames
from fullrank.data.scratch import clear_leftovers
from fullrank.data.write_aside import file_aside


def cut_events_after(directory: Path, step: int) -> None:
    """Drops the events of later steps, which the resumed run writes again, and an event that is cut off.

    TensorFlow begins a file of its own in each process. A file in which nothing is left is deleted.

    Args:
      directory: Looked through with its folders.
      step: The last step whose events stay, counted over the whole run.
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
