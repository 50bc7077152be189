"""Lists the commands of fullrank and starts one of them by its short name.

    fullrank
    fullrank train --data=records --output=runs/first
    python -m fullrank train --help
    fullrank --version

`fullrank NAME ...` is the same as the script `fullrank-NAME ...` and as `python -m fullrank.<folder>.<name> ...`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fullrank.data.command.command import WRONG_USAGE
from fullrank.data.command.help import HELP_FLAGS
from fullrank.data.files.printable import closest

_PREFIX: Final = "fullrank-"
_VERSION_FLAGS: Final = frozenset({"--version", "-version"})
# Distributions whose versions belong in a report of a problem; their metadata is read, none of them is imported.
_REPORTED: Final = ("fullrank", "tensorflow", "tf-keras", "tensorflow-probability", "tensorflow-recommenders", "duckdb")
_SECTIONS: Final = {"data": "Records", "trainers": "Models", "analysis": "Analysis"}


def run(argv: Sequence[str] | None = None) -> None:
    """Starts the command that the first argument names, lists all commands, or prints versions.

    Args:
      argv: Program name and arguments; `None` for those of the process.

    Raises:
      SystemExit: With the exit code of the command; 2 if there is no such command.
    """
    arguments = list(sys.argv if argv is None else argv)
    modules = command_modules()
    name = arguments[1] if len(arguments) > 1 else None
    if name is None or name in HELP_FLAGS:
        print(list_commands(modules))
        return
    if name in _VERSION_FLAGS:
        print(versions())
        return
    module = modules.get(name.removeprefix(_PREFIX))
    if module is None:
        meant = closest(name, modules)
        hint = f" Did you mean {meant!r}?" if meant else ""
        print(f"error: there is no command {name!r}.{hint} `fullrank` alone lists all of them.", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    command: Callable[[Sequence[str]], None] = importlib.import_module(module).run
    command([f"fullrank {name}", *arguments[2:]])


def command_modules() -> dict[str, str]:
    """The installed commands: short name -> module, as `setup.py` declares their scripts."""
    entries = importlib.metadata.distribution("fullrank").entry_points.select(group="console_scripts")
    return {
        entry.name.removeprefix(_PREFIX): entry.module
        for entry in sorted(entries, key=lambda entry: entry.name)
        if entry.name.startswith(_PREFIX)
    }


def list_commands(modules: Mapping[str, str]) -> str:
    """The commands by folder, each with the first line of its module's docstring."""
    width = max(len(name) for name in modules)
    parts = [
        "usage: fullrank COMMAND [--flag=value ...]; `fullrank COMMAND --help` lists the flags of a command,\n"
        "       `fullrank --version` prints the versions of fullrank and of the libraries it runs on."
    ]
    for folder, title in _SECTIONS.items():
        names = [name for name, module in modules.items() if module.split(".")[1] == folder]
        lines = (f"  {name.ljust(width)}  {summary(modules[name])}" for name in names)
        parts.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join(parts)


def versions() -> str:
    """The versions of fullrank, Python and the libraries that results depend on, one per line."""
    lines = [f"{name} {_version(name)}" for name in _REPORTED]
    return "\n".join([lines[0], f"python {platform.python_version()}", *lines[1:]])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def summary(module: str) -> str:
    """The first line of a module's docstring, read without importing the module and what it imports."""
    spec = importlib.util.find_spec(module)
    assert spec is not None  # noqa: S101
    assert spec.origin is not None  # noqa: S101
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0] if text else ""


if __name__ == "__main__":
    run()
