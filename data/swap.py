"""Gives a directory the name of another one in a single step."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_WITHOUT: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
"""What kernels, file systems and sandboxes say that cannot exchange two names."""


def swap_in(new: Path, *, target: Path, old: Path) -> None:
    """Makes `new` the directory `target`, and leaves what was there before under `new` or `old`.

    Linux exchanges two names in one step (`renameat2`), so that a directory stands under `target` at every moment.
    Elsewhere, and on file systems that cannot (some network file systems), two renames follow each other; if the
    process is killed between them, nothing stands there until the next one gives `old` its name back, which is why
    `old` lies in a scratch directory.

    Args:
      new: A directory.
      target: A directory, or nothing.
      old: Nothing yet; on the same file system.

    Raises:
      OSError: If that is impossible; `target` is then as it was.
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
