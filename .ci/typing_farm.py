"""Lays the package out as `.typing/fullrank/<folder>`, for tools that cannot follow the mapping of setup.py.

Type checkers and editors look for `fullrank/data/schema.py`; in the source tree it is `data/schema.py`. The layout is
one symbolic link per folder, so it never goes stale. An editor finds it as an extra path: `.typing`.
"""

from __future__ import annotations

from pathlib import Path

from sources import FOLDERS, MAIN, PACKAGE, ROOT


def lay_out(root: Path) -> Path:
    """Creates what is missing of `root/.typing/fullrank` and returns that folder."""
    package = root / ".typing" / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for name in (*FOLDERS, MAIN):
        link = package / name
        if not link.is_symlink():
            link.symlink_to(Path("..", "..", name), target_is_directory=name != MAIN)
    return package


if __name__ == "__main__":
    print(lay_out(ROOT))
