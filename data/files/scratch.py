"""Scratch directories: where output is written before it gets its name, and how those of killed processes are removed.

The scratch directory for `records` is `records.writing-<16 random hexadecimal digits>` next to it. Its owner holds a
lock on the file `lock` in it. The kernel drops that lock when the process ends, however it ends, so a scratch directory
without one is a leftover. The next process that makes a scratch directory in the same folder deletes it. Locks work
across PID namespaces, where process ids identify nothing: in a container every command is process 1.

A file system without locks (`flock`) cannot tell a leftover from a directory in use: leftovers stay there, and a
warning names them. A network file system whose locks other machines do not see (NFS with `local_lock`) is safe only if
one machine at a time writes into a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from absl import logging

OLD: Final = "old"
"""The previous target, in a scratch directory, while neither old nor new has the name; see `write_aside`."""
_LOCK: Final = "lock"
_NAME: Final = re.compile(r"(?P<target>.+)\.writing-[0-9a-f]{16}", re.DOTALL)
_PATIENCE_SECONDS: Final = 1.0
_warned: set[Path] = set()


@contextlib.contextmanager
def scratch_directory(target: Path, *, alone: bool, mode: int = 0o777) -> Iterator[Path]:
    """Makes a scratch directory for `target`, and deletes it at the end together with what is still in it.

    Args:
      target: Path that will be written; its folder must exist.
      alone: Whether another process that is writing `target` is an error. If not, the last one to finish wins.
      mode: Permissions of the directory, less those that the process's umask takes away.

    Raises:
      FileExistsError: If `alone`, and another process is writing `target`.
    """
    scratch, lock = _alone(target, mode) if alone else _made(target, mode)
    try:
        if not alone:
            clear_leftovers(target, own=scratch)
        yield scratch
    finally:
        _delete(scratch, lock)


@contextlib.contextmanager
def temporary_directory(name: str) -> Iterator[Path]:
    """Makes a scratch directory `fullrank-<name>` in the system's folder for temporary files, for this user alone.

    Unlike that of `tempfile.TemporaryDirectory`, a later one deletes it if the process is killed.
    """
    target = Path(tempfile.gettempdir()) / f"fullrank-{name}"
    with scratch_directory(target, alone=False, mode=0o700) as scratch:
        yield scratch


def clear_leftovers(target: Path, *, own: Path | None = None) -> bool:
    """Deletes the scratch directories in the folder of `target` whose processes have ended.

    Args:
      target: Path that will be written, whose folder is searched.
      own: A scratch directory to pass over.

    Returns:
      Whether another process is writing `target`.
    """
    if not target.parent.is_dir():
        return False
    with os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
    written = False
    for name in names:
        scratch = target.with_name(name)
        if scratch != own and not _cleared(scratch):
            written |= target_of(scratch) == target
    return written


def target_of(scratch: Path) -> Path:
    """The path that a scratch directory was made for."""
    match = _NAME.fullmatch(scratch.name)
    if match is None:
        raise ValueError(f"This is not the name of a scratch directory. Received: {scratch.name!r}.")
    return scratch.with_name(match["target"])


def being_written(target: Path) -> FileExistsError:
    """The error of a second process that would write `target`."""
    return FileExistsError(f"Another process is writing {target}: wait until it ends, or choose another name.")


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file until it is closed or the process ends.

    Returns:
      Whether this process now holds the lock; `None` where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def is_file(path: Path, descriptor: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _alone(target: Path, mode: int) -> tuple[Path, int]:
    """As `_made`, once nobody else writes `target`.

    Two processes that start at the same moment see each other. Both step back, and try again after a random pause.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        scratch, lock = _made(target, mode)
        if not clear_leftovers(target, own=scratch):
            return scratch, lock
        _delete(scratch, lock)
        if time.monotonic() > end:
            raise being_written(target)
        time.sleep((10 + secrets.randbelow(90)) / 1000)


def _made(target: Path, mode: int) -> tuple[Path, int]:
    """A new scratch directory and the descriptor of its locked file."""
    while True:
        scratch = target.with_name(f"{target.name}.writing-{secrets.token_hex(8)}")
        scratch.mkdir(mode=mode)
        # Until the lock is held, another process may take the directory for a leftover, and delete it or lock it.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            lock = os.open(scratch / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            if try_lock(lock) is not False and is_file(scratch / _LOCK, lock):
                return scratch, lock
            os.close(lock)


def _cleared(scratch: Path) -> bool:
    """Deletes a leftover; false if it is in use or may be."""
    try:
        lock = _opened(scratch / _LOCK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    held = try_lock(lock)
    if held:
        target = target_of(scratch)
        if (scratch / OLD).exists() and not os.path.lexists(target):
            os.rename(scratch / OLD, target)
        _delete(scratch, lock)
        return True
    os.close(lock)
    if held is None and scratch not in _warned:
        _warned.add(scratch)
        logging.warning("%s: this file system has no locks. Delete it unless a process is writing into it.", scratch)
    return False


def _opened(lock: Path) -> int:
    with contextlib.suppress(PermissionError):
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    return os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)  # another user's: not ours to delete, but not in use either


def _delete(scratch: Path, lock: int) -> None:
    """Deletes a scratch directory of ours; what cannot be deleted is left for the next process."""
    shutil.rmtree(scratch, ignore_errors=True)
    os.close(lock)
