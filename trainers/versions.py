"""What a run was made with: versions, and the commit of the source tree if there is one."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("fullrank", "tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Package -> version; "unknown" for one that is not installed as a package."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def git_commit() -> str | None:
    """The commit of the checkout that this file lies in, with "+changes" if it is not clean; `None` outside of one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        # The arguments are constants of this module.
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
