"""The pages of the site that list public names and commands; the site renders their docstrings.

They are made for each build and not kept, because they say nothing that the code does not say.
"""

from __future__ import annotations

import ast
from pathlib import Path

import sources
from fullrank.trainers.commands import command_modules

# docs/api/layers.md is written by hand, because it has an example of every layer.
FOLDERS = ("data", "models", "analysis")


def pages(root: Path) -> dict[str, str]:
    """File below docs -> its text."""
    return {
        **{f"api/{folder}.md": _folder_page(root, folder) for folder in FOLDERS},
        "api/commands.md": _commands(root),
    }


def public_names(path: Path) -> list[str]:
    """The names in `__all__` of a file; none if it has no such list."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _folder_page(root: Path, folder: str) -> str:
    lines = [f"# {sources.PACKAGE}.{folder}", ""]
    shown: set[str] = set()
    for file in sorted((root / folder).rglob("__init__.py")):
        module = sources.module_name(file.relative_to(root).as_posix())
        names = [name for name in public_names(file) if name not in shown]
        if not names:
            continue
        shown.update(names)
        lines += [f"## {module}", "", _docstring(file), ""]
        for name in names:
            lines += [f"::: {module}.{name}", ""]
    return "\n".join(lines)


def _commands(root: Path) -> str:
    lines = [
        "# Commands",
        "",
        "`fullrank` lists them, `fullrank NAME ...` starts one, and `fullrank NAME --help` lists its flags. "
        "`fullrank train` and `python -m fullrank.trainers.train` are the same.",
        "",
    ]
    for name, module in command_modules().items():
        path = root / Path(*module.split(".")[1:]).with_suffix(".py")
        lines += [f"## {name}", "", f"`{module}`", "", _docstring(path), ""]
    return "\n".join(lines)
