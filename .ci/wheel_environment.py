"""Builds the source distribution and the wheel, and makes an environment that has the wheel and not the checkout.

As a command, runs the tests there: `wheel_environment.py [PYTEST ARGUMENT ...]`. Tests that read the source tree stay
out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from sources import FOLDERS, MAIN, ROOT, folder_files, needs_source_tree

# Files that packaging reads in addition to the package itself.
PACKAGING_FILES = (MAIN, "LICENSE", "README.md", "pyproject.toml", "setup.py")

# Makes distutils importable where only setuptools provides it, as the line that setuptools puts into an environment of
# its own does. Lines of .pth files in a folder that a .pth file names are not run, so it has to be repeated.
_DISTUTILS = "import importlib.util as u; u.find_spec('_distutils_hack') and __import__('_distutils_hack').add_shim()"


def build(root: Path, output: Path) -> tuple[Path, Path]:
    """Builds the source distribution, and the wheel from that. Works on a copy, so the source tree stays clean.

    Args:
      root: the source tree.
      output: an empty or missing folder.

    Returns:
      The paths of the source distribution and of the wheel.
    """
    tree = output / "tree"
    tree.mkdir(parents=True)
    for folder in FOLDERS:
        shutil.copytree(root / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGING_FILES:
        shutil.copy(root / name, tree / name)
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(tree)], cwd=output)
    (archive,) = output.glob("*.tar.gz")
    (wheel,) = output.glob("*.whl")
    return archive, wheel


def create(folder: Path, wheel: Path | None) -> Path:
    """Creates a virtual environment that sees this one's packages, but not its editable fullrank.

    Args:
      folder: where the environment is made.
      wheel: what to install; nothing when None.

    Returns:
      The path of its Python.
    """
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], cwd=folder.parent)
    python = folder / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    outer = sysconfig.get_paths()["purelib"]
    Path(paths["purelib"], "outer.pth").write_text(f"{outer}\n{_DISTUTILS}\n", encoding="utf-8")
    if wheel is not None:
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)], cwd=folder)
    return python


def clean_environment() -> dict[str, str]:
    """This process's environment without what would let a child see the checkout."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}


def _run(command: list[str], cwd: Path) -> None:
    run = subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {run.returncode}:\n{run.stdout}{run.stderr}")


def run_tests(root: Path, arguments: list[str]) -> int:
    """Runs the tests that need no source tree against the wheel, from a temporary folder; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="fullrank-wheel-") as name:
        folder = Path(name)
        _, wheel = build(root, folder / "dist")
        python = create(folder / "environment", wheel)
        work = folder / "work"
        work.mkdir()
        shutil.copy(root / "pyproject.toml", work)
        for path in folder_files(root, "tests"):
            if not needs_source_tree(root / path):
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / path, work / path)
        command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=work, env=clean_environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(run_tests(ROOT, sys.argv[1:]))
