"""Runs mypy on every Python file and fails when it checked another number of files than there are.

The count matters: the package exists only as a mapping, and with a layout that mypy cannot follow it says "Success"
about the few files it found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import typing_farm
from sources import OTHER_FOLDERS, ROOT, all_files

_CHECKED = re.compile(r"(?:no issues found in|checked) (\d+) source files?")


def check(root: Path) -> int:
    """Prints mypy's report with paths of the source tree, and returns the exit code."""
    package = typing_farm.lay_out(root).relative_to(root).as_posix()
    targets = [package, *(folder for folder in OTHER_FOLDERS if (root / folder).is_dir()), "setup.py"]
    expected = len(all_files(root))
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=pyproject.toml", *targets],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(run.stdout.replace(f"{package}/", ""))
    sys.stderr.write(run.stderr)
    found = _CHECKED.search(run.stdout)
    checked = int(found[1]) if found else 0
    if checked != expected:
        print(f"mypy checked {checked} files, but the project has {expected}", file=sys.stderr)
        return run.returncode or 1
    print(f"mypy checked all {expected} files")
    return run.returncode


if __name__ == "__main__":
    sys.exit(check(ROOT))
