"""What a run was made of: versions of packages, the commit of the code, and a fingerprint of the data.

The fingerprint shows whether a data set is still the one that a run began with.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Final

from fullrank.data.schema.schema import Schema

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
    """The commit of the checkout that holds this file, with "+changes" if it is not clean; `None` outside of one."""
    root = Path(__file__).resolve().parents[2]
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


def data_fingerprint(schema: Schema) -> str:
    """A digest of the schema, of the vocabularies, and of the name and size of every shard.

    The shards' bytes are not read: that would take as long as a pass over the data, and shards are only written whole.

    Raises:
      ValueError: If a file that the schema names is missing.
    """
    directory = schema.directory
    if directory is None:
        raise ValueError(f"Schema {schema.name!r} was not read from a directory, so its records cannot be compared.")
    digest = hashlib.sha256((directory / "schema.json").read_bytes())
    for file in sorted((directory / "vocabulary").glob("*.txt")):
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    for split in schema.splits:
        for shard in split.shards:
            digest.update(f"{shard.file} {_size(directory / shard.file)}\n".encode())
    return digest.hexdigest()[:32]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError as error:
        raise ValueError(f"{file} is missing, but the schema next to it names it: write the records again.") from error
