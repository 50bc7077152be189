"""Runs the commands and programs that a page prints, in its order and in one folder, as a reader would.

Blocks marked `bash`, `python` and `python keras3` run, others (`console`, `text`) do not. All `python` blocks of a page
are one program, so that a name of an early block is known in a later one; a `python keras3` block is a separate one,
because a process has one version of Keras.

Usage: `run_pages.py FOLDER` runs all guides in FOLDER, one after the other, and copies their figures to
docs/guides/figures.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sources import ROOT

# Later guides use what earlier ones leave in the folder; each says so.
GUIDES = ("first_model", "serve", "explore", "own_layer", "own_checkpoint", "multi_task")
_BLOCK = re.compile(r"^```(\S+)( \S+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# `<!-- figures/NAME.png is PATH -->` says which file of the folder a figure of the page is.
_FIGURE = re.compile(r"<!-- (figures/\S+) is (\S+) -->")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language (with its mark) and text of every fenced block."""
    return [((language + mark).strip(), text) for language, mark, text in _BLOCK.findall(page)]


def figures(page: str) -> dict[str, str]:
    """Figure next to the page -> the file that the page's commands write."""
    return dict(_FIGURE.findall(page))


def program(page: str) -> str:
    """One Python program that runs the page's blocks in order, its shell commands included."""
    parts = ["import os as _os, subprocess as _subprocess, sys as _sys\n"]
    for language, text in blocks(page):
        if language == "python":
            parts.append(text)
        elif language == "bash":
            parts.append(f"_subprocess.run(['bash', '-euc', {text!r}], check=True)\n")
        elif language == "python keras3":
            environment = "{k: v for k, v in _os.environ.items() if k != 'TF_USE_LEGACY_KERAS'}"
            parts.append(f"_subprocess.run([_sys.executable, '-c', {text!r}], check=True, env={environment})\n")
    return "".join(parts)


def run(command: list[str], *, folder: Path) -> None:
    """Runs a command in a folder, with this interpreter's programs first on the path.

    Raises:
      RuntimeError: If it fails; with the end of its output.
    """
    # A reader's own process has not chosen a Keras version, as a test's may have.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["MPLBACKEND"] = "agg"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def run_guide(root: Path, name: str, *, folder: Path) -> dict[str, Path]:
    """Runs a guide; returns its figures as name next to the page -> file that was written."""
    page = (root / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8")
    run([sys.executable, "-c", program(page)], folder=folder)
    return {figure: folder / file for figure, file in figures(page).items()}


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(root: Path, arguments: list[str]) -> int:
    """Runs the guides and keeps their figures; returns the exit code."""
    if not arguments:
        print("usage: run_pages.py FOLDER [GUIDE ...]", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or GUIDES:
        start, used = time.perf_counter(), _seconds_of_children()
        for figure, file in run_guide(root, name, folder=folder).items():
            shutil.copyfile(file, root / "docs" / "guides" / figure)
        spent = _seconds_of_children() - used
        print(f"{name}: {time.perf_counter() - start:.0f} s, {spent:.0f} s of processor time", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(ROOT, sys.argv[1:]))
