"""What is written aside: whole or not at all, one process at a time, and nothing left behind by a killed one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from absl import logging

from fullrank.data.files import write_aside
from fullrank.data.files.scratch import clear_leftovers, target_of
from fullrank.data.files.write_aside import (
    check_new_file,
    check_replaceable,
    file_aside,
    remove_directory,
    write_text,
    written_aside,
)

MADE_OF = "schema.json"


LEFT_BY_A_KILLED_PROCESS = "records.writing-0123456789abcdef"


WRITES_FOR_EVER = """
import sys, time
from pathlib import Path
from fullrank.data.files.write_aside import written_aside
with written_aside(Path(sys.argv[1]), overwrite=True, made_of="schema.json") as aside:
    (aside / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def data_set(directory: Path, content: str) -> None:
    directory.mkdir()
    (directory / MADE_OF).write_text(content)


def replace(directory: Path, content: str) -> None:
    with written_aside(directory, overwrite=True, made_of=MADE_OF) as aside:
        (aside / MADE_OF).write_text(content)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@contextlib.contextmanager
def writer(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to write a directory."""
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_aside, "_exchanged", lambda first, second: False)


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_second_process_is_told_so_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    records = tmp_path / "records"
    data_set(records, "old")
    with writer(records) as process:
        (scratch_name,) = [name for name in names(tmp_path) if name != "records"]
        assert target_of(tmp_path / scratch_name) == records
        message = rf"^Another process is writing {records}: wait until it ends, or choose another name\.$"
        with pytest.raises(FileExistsError, match=message):
            replace(records, "new")
        with pytest.raises(FileExistsError, match=message):
            check_replaceable(records, overwrite=True, made_of=MADE_OF)
        replace(tmp_path / "others", "new")  # which has nothing to do with it
        write_text(tmp_path / "report.md", "new")
        assert names(tmp_path) == ["others", "records", scratch_name, "report.md"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert scratch_name in names(tmp_path)
    replace(records, "new")
    assert names(tmp_path) == ["others", "records", "report.md"]
    assert (records / MADE_OF).read_text() == "new"


@pytest.mark.parametrize(
    "begin",
    [
        lambda folder: check_replaceable(folder / "records", overwrite=True, made_of=MADE_OF),
        lambda folder: check_new_file(folder / "report.md", overwrite=False),
        lambda folder: write_text(folder / "report.md", "new"),
        lambda folder: remove_directory(folder / "records"),
    ],
)
def test_whatever_begins_to_write_deletes_what_killed_processes_left(
    tmp_path: Path, begin: Callable[[Path], None]
) -> None:
    data_set(tmp_path / "records", "old")
    for content in ([], ["lock"], ["lock", "new"]):
        left = tmp_path / f"{'x' * (1 + len(content))}.writing-0123456789abcdef"
        left.mkdir()
        for name in content:
            (left / name).write_text("")
    for name in ("records.writing-1", "records.writing-notes", ".writing-0123456789abcdef"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.writing-0123456789abcdef").write_text("of a user")
    (tmp_path / "link.writing-0123456789abcdef").symlink_to(tmp_path / "records")
    begin(tmp_path)
    kept = set(names(tmp_path)) - {"records", "report.md"}
    assert kept == {
        "records.writing-1",
        "records.writing-notes",
        ".writing-0123456789abcdef",
        "file.writing-0123456789abcdef",
        "link.writing-0123456789abcdef",
    }


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LEFT_BY_A_KILLED_PROCESS).mkdir()
    (tmp_path / LEFT_BY_A_KILLED_PROCESS / "lock").symlink_to(tmp_path / "elsewhere")
    assert clear_leftovers(tmp_path / "records")
    assert names(tmp_path) == [LEFT_BY_A_KILLED_PROCESS]


def test_a_directory_stands_under_its_name_at_every_moment(tmp_path: Path) -> None:
    records, ended, seen = tmp_path / "records", threading.Event(), set()
    data_set(records, "0")

    def look() -> None:
        while not ended.is_set():
            folder = os.open(records, os.O_RDONLY)  # fails if nothing stands there
            with contextlib.suppress(FileNotFoundError):  # of a directory that has been replaced since
                file = os.open(MADE_OF, os.O_RDONLY, dir_fd=folder)
                seen.add(os.read(file, 9))
                os.close(file)
            os.close(folder)

    failures: list[BaseException] = []

    def watched() -> None:
        try:
            look()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=watched)
    thread.start()
    for number in range(1, 200):
        replace(records, str(number))
    ended.set()
    thread.join()
    assert not failures
    assert len(seen) > 1
    assert seen <= {b"%d" % number for number in range(200)}
    assert names(tmp_path) == ["records"]


def test_where_names_cannot_be_exchanged_two_renames_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(tmp_path / "records", "old")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())  # a C library without renameat2
    replace(tmp_path / "records", "new")
    assert (tmp_path / "records" / MADE_OF).read_text() == "new"
    assert names(tmp_path) == ["records"]


def test_a_failed_second_rename_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(tmp_path / "records", "old")
    without_exchange(monkeypatch)
    numbers, rename = itertools.count(1), os.rename

    def renamed(source: Path, target: Path) -> None:
        if next(numbers) == 2:
            raise OSError(errno.EIO, "Input/output error", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", renamed)
    with pytest.raises(OSError, match="Input/output error"):
        replace(tmp_path / "records", "new")
    assert (tmp_path / "records" / MADE_OF).read_text() == "old"
    assert names(tmp_path) == ["records"]


def test_the_old_directory_gets_its_name_back_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    left = tmp_path / LEFT_BY_A_KILLED_PROCESS
    left.mkdir()
    data_set(left / "old", "old")
    data_set(left / "new", "new")
    with pytest.raises(FileExistsError, match="records exists already"):
        check_replaceable(tmp_path / "records", overwrite=False, made_of=MADE_OF)
    assert (tmp_path / "records" / MADE_OF).read_text() == "old"
    assert names(tmp_path) == ["records"]


def test_the_old_directory_stays_deleted_when_the_new_one_has_the_name(tmp_path: Path) -> None:
    left = tmp_path / LEFT_BY_A_KILLED_PROCESS
    left.mkdir()
    data_set(left / "old", "old")
    data_set(tmp_path / "records", "new")
    clear_leftovers(tmp_path / "records")
    assert (tmp_path / "records" / MADE_OF).read_text() == "new"
    assert names(tmp_path) == ["records"]


def test_without_locks_everything_is_written_and_what_may_be_in_use_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LEFT_BY_A_KILLED_PROCESS).mkdir()
    without_locks(monkeypatch)
    monkeypatch.setattr(logging, "warning", lambda text, *values: messages.append(text % values))
    messages: list[str] = []
    write_text(tmp_path / "report.md", "new")
    write_text(tmp_path / "report.md", "newer")
    assert names(tmp_path) == [LEFT_BY_A_KILLED_PROCESS, "report.md"]
    assert (tmp_path / "report.md").read_text() == "newer"
    assert messages == [
        f"{tmp_path / LEFT_BY_A_KILLED_PROCESS}: this file system has no locks. Delete it unless a process is writing "
        "into it."
    ]


def test_of_two_that_begin_together_one_writes_and_the_other_is_told(tmp_path: Path) -> None:
    barrier, outcomes = threading.Barrier(2), []

    def write() -> None:
        barrier.wait()
        try:
            with written_aside(tmp_path / "records", overwrite=True, made_of=MADE_OF) as aside:
                (aside / MADE_OF).write_text("new")
                time.sleep(2)
            outcomes.append("written")
        except FileExistsError:
            outcomes.append("told")

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["told", "written"]
    assert names(tmp_path) == ["records"]


def test_many_that_write_one_small_file_all_succeed(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(20):
            write_text(tmp_path / "report.json", str(number) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "report.json").read_text() in {str(number) * 1000 for number in range(4)}
    assert names(tmp_path) == ["report.json"]


def test_a_file_that_takes_long_has_one_writer(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    message = "Another process is writing .*predictions.parquet"
    with file_aside(file, alone=True) as aside:
        aside.write_text("first")
        with pytest.raises(FileExistsError, match=message), file_aside(file, alone=True):
            pass
        with pytest.raises(FileExistsError, match=message):
            check_new_file(file, overwrite=True)
    assert file.read_text() == "first"
    assert names(tmp_path) == ["predictions.parquet"]


def test_an_error_leaves_the_old_file_and_says_which(tmp_path: Path) -> None:
    file = tmp_path / "a" / "report.md"
    write_text(file, "old")

    def full() -> None:
        with file_aside(file) as aside:
            aside.write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as error:
        full()
    assert error.value.filename == str(file)
    assert file.read_text() == "old"
    assert names(file.parent) == ["report.md"]


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write() -> None:
        with written_aside(tmp_path / "records", overwrite=False, made_of=MADE_OF) as aside:
            (aside / MADE_OF).write_text("ours")
            data_set(tmp_path / "records", "theirs")

    with pytest.raises(FileExistsError, match="records exists already"):
        write()
    assert (tmp_path / "records" / MADE_OF).read_text() == "theirs"
    assert names(tmp_path) == ["records"]


def test_a_mount_point_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "records")
    with pytest.raises(
        FileExistsError, match="records is a mount point, which cannot be replaced: choose a name inside"
    ):
        check_replaceable(tmp_path / "records", overwrite=True, made_of=MADE_OF)


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path: Path) -> None:
    data_set(tmp_path / "elsewhere", "old")
    (tmp_path / "records").symlink_to("elsewhere")
    replace(tmp_path / "records", "new")
    assert (tmp_path / "elsewhere" / MADE_OF).read_text() == "old"
    assert (tmp_path / "records" / MADE_OF).read_text() == "new"
    assert names(tmp_path) == ["elsewhere", "records"]


def test_a_directory_is_removed_from_its_name_in_one_step(tmp_path: Path) -> None:
    data_set(tmp_path / "run", "old")
    remove_directory(tmp_path / "run")
    remove_directory(tmp_path / "run")
    assert names(tmp_path) == []
