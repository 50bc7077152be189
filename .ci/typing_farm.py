"""Lays the package out as `.typing/fullrank/<folder>`, for tools that cannot follow the mapping of setup.py.

Type checkers and editors look for `fullrank/data/schema.py`; in the source tree it is `data/schema.py`. The layout is
one symbolic link a folder, so it never goes stale. An editor finds it as an extra path: `.typing`.
"""

from __future__ import annotations

from pathlib import Path

from sources import FOLDERS, PACKAGE, ROOT


def lay_out(root: Path) -> Path:
    """Creates what is missing of `root/.typing/fullrank` and returns that folder."""
    package = root / ".typing" / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for folder in FOLDERS:
        link = package / folder
        if not link.is_symlink():
            link.symlink_to(Path("..", "..", folder), target_is_directory=True)
    return package


if __name__ == "__main__":
    print(lay_out(ROOT))
