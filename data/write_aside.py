"""Writes a directory so that it appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(directory: Path, *, overwrite: bool, made_of: str) -> Iterator[Path]:
    """Gives a temporary sibling to write into, which gets the name `directory` when the block ends without an error.

    Args:
      directory: Must not exist, or be empty, unless `overwrite` is true.
      overwrite: Whether a directory of the same kind is replaced.
      made_of: A file that tells such a directory from others, so that no wrong one is ever deleted.

    Raises:
      FileExistsError: If there is something that may not be replaced.
    """
    directory = Path(os.path.abspath(directory))
    check_replaceable(directory, overwrite=overwrite, made_of=made_of)
    aside = directory.with_name(f"{directory.name}.writing-{os.getpid()}")
    old = directory.with_name(f"{directory.name}.replaced-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        yield aside
        if directory.exists():
            os.rename(directory, old)
        os.rename(aside, directory)
    except OSError as error:
        # Writing to an open file fails without a name; say at least where.
        if error.filename is None:
            raise OSError(error.errno, error.strerror or str(error), str(directory)) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if old.exists() and not directory.exists():
            os.rename(old, directory)
        shutil.rmtree(old, ignore_errors=True)


def check_replaceable(directory: Path, *, overwrite: bool, made_of: str) -> None:
    """Refuses a directory that is there already, unless it may be replaced; see `written_aside`."""
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if not directory.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{directory} exists already: choose another name, or replace it by --overwrite.")
    if not (directory / made_of).is_file():
        raise FileExistsError(
            f"{directory} holds no {made_of}, so --overwrite does not delete it: choose another name."
        )
