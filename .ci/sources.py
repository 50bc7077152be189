"""The project's Python files and the imports of each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "fullrank"
FOLDERS = ("data", "layers", "models", "trainers", "analysis")
OTHER_FOLDERS = (".ci", "benchmarks", "tests")
MAIN = "__main__.py"

_RULE = re.compile(r"^May import: (.+?)\.$", re.MULTILINE | re.DOTALL)
_NOTHING = "nothing of fullrank"
# A string that is a module's whole name is a command line's `-m` argument, and needs the module as an import does.
_MODULE_NAME = re.compile(rf"{PACKAGE}\.(?:{'|'.join(FOLDERS)})(?:\.\w+)*")


def folder_files(root: Path, folder: str) -> list[str]:
    """The Python files below `folder`, as sorted paths relative to `root`."""
    paths = (root / folder).rglob("*.py")
    return sorted(path.relative_to(root).as_posix() for path in paths if "__pycache__" not in path.parts)


def package_files(root: Path) -> list[str]:
    """The files of the package `fullrank`, without its `__main__.py`."""
    return [path for folder in FOLDERS for path in folder_files(root, folder)]


def all_files(root: Path) -> list[str]:
    """Every Python file of the project."""
    others = [path for folder in OTHER_FOLDERS for path in folder_files(root, folder)]
    return [*package_files(root), *others, MAIN, "setup.py"]


def module_name(path: str) -> str:
    """The import name of a file of the package: `data/schema.py` is `fullrank.data.schema`."""
    parts = Path(path).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def place(path: str) -> str:
    """The room that a file of the package lies in, such as `layers/mixture`; on top of a folder, the file itself.

    The `__init__.py` of a folder is the folder.
    """
    folder = Path(path).parent
    if len(folder.parts) > 1:
        return folder.as_posix()
    return folder.as_posix() if Path(path).name == "__init__.py" else path


def modules(root: Path) -> dict[str, str]:
    """The file of each module of the package, by its import name."""
    return {module_name(file): file for file in package_files(root)}


def imported_files(root: Path, path: str, *, files: Mapping[str, str]) -> set[str]:
    """The files of the package that a file imports anywhere in it, without itself; `files` as `modules` gives them."""
    names = imported_modules(root / path)
    # `from fullrank.data import schema` names the folder, too, but asks nothing of its `__init__.py`.
    longest = names - {name.rpartition(".")[0] for name in names}
    found = {files.get(name) or files.get(name.rpartition(".")[0]) for name in longest}
    return {file for file in found if file and file != path}


def room_rules(root: Path) -> dict[str, frozenset[str]]:
    """What each room may import by the docstring of its `__init__.py`: other folders, and places of its own folder.

    Raises:
      ValueError: When a room does not say so.
    """
    rules = {}
    for path in package_files(root):
        if path.count("/") > 1 and path.endswith("/__init__.py"):
            doc = ast.get_docstring(ast.parse((root / path).read_text(encoding="utf-8"))) or ""
            said = _RULE.search(doc)
            if said is None:
                raise ValueError(f"{path} must say in its docstring what the room may import, as `May import: data.`")
            names = {name.strip() for name in said[1].replace("\n", " ").split(",")}
            rules[place(path)] = frozenset(names - {_NOTHING})
    return rules


def imported_modules(path: Path) -> set[str]:
    """The absolute names that a file imports anywhere in it, functions and type-checking blocks included.

    `from fullrank.data import schema` gives `fullrank.data` and `fullrank.data.schema`: only the file system knows
    whether the second is a module.

    Raises:
      ValueError: When the file does not parse.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path} does not parse: {error}") from error
    return {name for node in ast.walk(tree) for name in _names(node)}


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE_NAME.fullmatch(node.value):
        yield node.value


def is_command(path: Path) -> bool:
    """Whether a file is a command: it defines `run` at its top level and has a main block."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    has_run = any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body)
    return has_run and has_main_block(path)


def has_main_block(path: Path) -> bool:
    """Whether a file has `if __name__ == "__main__":`."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in body)


def needs_source_tree(path: Path) -> bool:
    """Whether a test needs the checkout: it takes the fixture `repository`, or imports a script of the project."""
    scripts = {Path(name).stem for folder in (".ci", "benchmarks") for name in folder_files(ROOT, folder)}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asks = any(isinstance(node, ast.arg) and node.arg == "repository" for node in ast.walk(tree))
    return path.name != "conftest.py" and (asks or bool(imported_modules(path) & scripts))
