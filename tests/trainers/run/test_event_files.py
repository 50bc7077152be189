"""Event files of a killed run hold nothing twice after it was resumed."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from fullrank.data.records.frames import framed, read_frames
from fullrank.trainers.run.metrics_log import cut_events_after


def write(directory: Path, *, steps: list[int]) -> Path:
    """The one file of a process; TensorFlow puts the version in front."""
    before = set(directory.glob("*"))
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("step/click_auc", 0.5, step=step)
    writer.close()
    (file,) = set(directory.glob("*")) - before
    return file


def steps(file: Path) -> list[int]:
    events = [tf.compat.v1.Event.FromString(frame.data) for frame in read_frames(file, compression="")]
    return [event.step for event in events if event.HasField("summary")]


def test_later_steps_are_dropped_in_every_folder(tmp_path: Path) -> None:
    train, validation = write(tmp_path / "train", steps=[2, 4, 6]), write(tmp_path / "validation", steps=[4, 8])
    cut_events_after(tmp_path, 4)
    assert steps(train) == [2, 4]
    assert steps(validation) == [4]
    assert tf.compat.v1.Event.FromString(next(read_frames(train, compression="")).data).file_version == "brain.Event:2"
    assert sorted(tmp_path.rglob("*")) == [train.parent, train, validation.parent, validation]


def test_a_file_without_earlier_steps_goes(tmp_path: Path) -> None:
    first, second = write(tmp_path, steps=[2, 4]), write(tmp_path, steps=[6])
    cut_events_after(tmp_path, 4)
    assert first.exists()
    assert not second.exists()


def test_a_file_that_needs_no_cut_is_not_written(tmp_path: Path) -> None:
    file = write(tmp_path, steps=[2, 4])
    before = file.stat()
    cut_events_after(tmp_path, 4)
    after = file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_event_that_is_cut_off_is_dropped_wherever_it_ends(tmp_path: Path) -> None:
    file = write(tmp_path, steps=[2, 4])
    whole = file.read_bytes()
    last = len(framed([list(read_frames(file, compression=""))[-1].data or b""]))
    for length in range(len(whole) - last + 1, len(whole)):
        file.write_bytes(whole[:length])
        cut_events_after(tmp_path, 4)
        assert file.read_bytes() == whole[: len(whole) - last]
    file.write_bytes(whole[:5])
    cut_events_after(tmp_path, 4)
    assert not file.exists()


def test_what_an_earlier_cut_left_is_deleted(tmp_path: Path) -> None:
    file = write(tmp_path, steps=[2])
    (tmp_path / f"{file.name}.writing-{'0' * 16}").mkdir()
    cut_events_after(tmp_path, 4)
    assert os.listdir(tmp_path) == [file.name]


def test_no_events_are_no_error(tmp_path: Path) -> None:
    cut_events_after(tmp_path / "events", 4)
