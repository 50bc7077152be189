"""Writes directories and files so that they appear under their names only when they are whole.

Everything that the package leaves behind is written in a scratch directory next to it (see `scratch`) and renamed. A
process may be killed at any moment: the name then belongs to the old version or to the new one, and the next command
that writes into the same folder deletes what was begun. Nothing is forced to disk, so a power failure may leave files
cut off; readers compare the sizes of shards with the schema.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fullrank.data.files.scratch import OLD, being_written, clear_leftovers, scratch_directory

_NEW: Final = "new"
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_WITHOUT: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
"""Error numbers of kernels, file systems and sandboxes that cannot exchange two names."""


@contextlib.contextmanager
def written_aside(directory: Path, *, overwrite: bool, made_of: str) -> Iterator[Path]:
    """Gives a directory to write into, which gets the name `directory` when the block ends without an error.

    Args:
      directory: Must not exist, or be empty, unless `overwrite` is true.
      overwrite: Whether a directory of the same kind is replaced; see `swap_in` for how.
      made_of: A file that identifies such a directory, so that no other one is ever deleted.

    Raises:
      FileExistsError: If there is something that may not be replaced, or another process is writing it.
    """
    directory = _absolute(directory)
    _check(directory, overwrite=overwrite, made_of=made_of)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(directory, alone=True) as scratch, _named_errors(directory):
        new = scratch / _NEW
        new.mkdir()
        yield new
        _check(directory, overwrite=overwrite, made_of=made_of)
        swap_in(new, target=directory, old=scratch / OLD)


@contextlib.contextmanager
def file_aside(file: Path, *, alone: bool = False) -> Iterator[Path]:
    """Gives a path to write to, which becomes `file` when the block ends without an error; makes its folder.

    Args:
      file: The file that is written or replaced.
      alone: Whether another process that is writing it is an error, as it should be where writing takes long.

    Raises:
      FileExistsError: If `alone`, and another process is writing the file.
    """
    file = _absolute(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(file, alone=alone) as scratch, _named_errors(file):
        yield scratch / _NEW
        os.replace(scratch / _NEW, file)


def write_text(file: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with file_aside(file) as aside:
        aside.write_text(text, encoding="utf-8")


def remove_directory(directory: Path) -> None:
    """Removes a directory, if it exists, so that it is gone from its name in one step."""
    directory = _absolute(directory)
    if os.path.lexists(directory):
        with scratch_directory(directory, alone=True) as scratch:
            os.rename(directory, scratch / _NEW)


def check_replaceable(directory: Path, *, overwrite: bool, made_of: str) -> None:
    """Rejects a directory early that `written_aside` would refuse, and clears what killed processes left next to it."""
    directory = _absolute(directory)
    if clear_leftovers(directory):
        raise being_written(directory)
    _check(directory, overwrite=overwrite, made_of=made_of)


def check_new_file(file: Path, *, overwrite: bool) -> None:
    """Rejects a file that exists, unless it may be replaced, and clears what killed processes left next to it.

    Raises:
      FileExistsError: If the file exists, or another process is writing it.
    """
    file = _absolute(file)
    if clear_leftovers(file):
        raise being_written(file)
    if file.exists() and not overwrite:
        raise FileExistsError(f"{file} exists already: choose another name, or replace it by --overwrite.")


def _check(directory: Path, *, overwrite: bool, made_of: str) -> None:
    if os.path.ismount(directory):
        raise FileExistsError(f"{directory} is a mount point, which cannot be replaced: choose a name inside it.")
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{directory} exists already: choose another name, or replace it by --overwrite.")
    if not (directory / made_of).is_file():
        raise FileExistsError(
            f"{directory} holds no {made_of}, so --overwrite does not delete it: choose another name."
        )


@contextlib.contextmanager
def _named_errors(target: Path) -> Iterator[None]:
    """Adds the file to an error: writing to an open file fails without naming it."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror or str(error), str(target)) from error
        raise


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def swap_in(new: Path, *, target: Path, old: Path) -> None:
    """Makes `new` the directory `target`, and leaves what was there before under `new` or `old`.

    Linux exchanges two names in one step (`renameat2`), so that `target` exists at every moment.
    Elsewhere, and on file systems that cannot (some network file systems), two renames follow each other; if the
    process is killed between them, `target` is missing until the next one gives `old` its name back, which is why `old`
    is in a scratch directory.

    Args:
      new: A directory.
      target: A directory, or nothing.
      old: Nothing yet; on the same file system.

    Raises:
      OSError: If that is impossible; `target` is then unchanged.
    """
    if not os.path.lexists(target) or (target.is_dir() and not target.is_symlink() and not any(target.iterdir())):
        os.rename(new, target)
    elif not _exchanged(new, target):
        os.rename(target, old)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(old, target)
            raise
        # `old` would get its name back if someone removed the new directory before this one is deleted.
        os.rename(old, new)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchanges two names; false where that is impossible, and then nothing has changed."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if not renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_RENAME_EXCHANGE)):
        return True
    number = ctypes.get_errno()
    if number in _WITHOUT:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))
