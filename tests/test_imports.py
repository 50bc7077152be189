"""The rules about what may import, read and use what, checked on the source text of every module."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sources

# What each folder may import from. `analysis` takes arrays or a saved model; `trainers` puts everything together.
ALLOWED = {
    "data": {"data"},
    "layers": {"layers"},
    "models": {"data", "layers", "models"},
    "trainers": {"analysis", "data", "layers", "models", "trainers"},
    "analysis": {"analysis", "data"},
}
# The only module that may look at tf.keras: it decides which Keras TensorFlow Recommenders sees.
KERAS_CHOICE = "layers/legacy_keras.py"
# What commands share. It handles flags, but defines and reads them only for the command that calls it.
COMMAND_SUPPORT = re.compile(r"data/command/\w+\.py|data/\w+/(\w+_)?flags\.py")
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def folder_of(name: str) -> str | None:
    """The folder of the package that an imported name lies in: `fullrank.data.schema.schema` gives `data`."""
    parts = name.split(".")
    return parts[1] if parts[0] == sources.PACKAGE and len(parts) > 1 else None


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain on a name, else an empty string."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def wrong_direction(folder: str, imported: set[str]) -> list[str]:
    return sorted(name for name in imported if (other := folder_of(name)) and other not in ALLOWED[folder])


def against_rule(path: str, imported: set[str], allowed: frozenset[str]) -> list[str]:
    """Files that a file of a room imports although its room may not: other folders are named as wholes."""
    own = sources.place(path)
    return sorted(
        file
        for file in imported
        if sources.place(file) != own and not {file.split("/")[0], sources.place(file)} & allowed
    )


def bare_names(imported: set[str]) -> list[str]:
    return sorted(name for name in imported if name.split(".")[0] in sources.FOLDERS)


def forbidden_uses(tree: ast.Module, *, may_use_tf_keras: bool) -> Iterator[str]:
    """What no module may do, each as `line: what`."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield f"{line}: calls {node.func.id}"
        if isinstance(node, ast.Call) and dotted(node.func).endswith("layers.Lambda"):
            yield f"{line}: Lambda layer"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"{node.value.lineno}: allow_pickle"
        if (
            isinstance(node, ast.Attribute)
            and dotted(node) in {"tf.keras", "tensorflow.keras"}
            and not may_use_tf_keras
        ):
            yield f"{line}: tf.keras"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{line}: relative import"


def flag_reads(tree: ast.Module) -> Iterator[str]:
    """Where a module touches absl's process-wide flags or imports the flags module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "absl":
            yield from (f"{node.lineno}: absl.flags" for alias in node.names if alias.name == "flags")
        if isinstance(node, ast.ImportFrom) and node.module == "absl.flags":
            yield f"{node.lineno}: absl.flags"
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: absl.flags" for alias in node.names if alias.name == "absl.flags")


def flags_defined_at_import(tree: ast.Module) -> Iterator[str]:
    """Calls of `flags.DEFINE_*` that run when the module is imported, not when a function of it is called."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1].startswith("DEFINE_"):
            yield f"{node.lineno}: {dotted(node.func)}"
        pending.extend(ast.iter_child_nodes(node))


@pytest.fixture(scope="module")
def modules(repository: Path) -> dict[str, ast.Module]:
    """Every file of the package, parsed."""
    return {path: parse(repository / path) for path in sources.package_files(repository)}


def test_imports_run_one_way(repository: Path, modules: dict[str, ast.Module]) -> None:
    wrong = {path: wrong_direction(path.split("/")[0], sources.imported_modules(repository / path)) for path in modules}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_rooms_import_what_they_say(repository: Path) -> None:
    """The docstring of each room says what it may import, and says no more than what it does."""
    rules, modules = sources.room_rules(repository), sources.modules(repository)
    needed: dict[str, set[str]] = {}
    wrong: dict[str, list[str]] = {}
    for path in modules.values():
        room = sources.place(path)
        if room in rules:
            files = sources.imported_files(repository, path, files=modules)
            wrong[path] = against_rule(path, files, rules[room])
            places = {sources.place(file) for file in files} - {room}
            needed.setdefault(room, set()).update(
                place if place.split("/")[0] == path.split("/")[0] else place.split("/")[0] for place in places
            )
    assert {path: files for path, files in wrong.items() if files} == {}
    assert {room: sorted(names - needed[room]) for room, names in rules.items() if names - needed[room]} == {}


def test_imports_run_in_no_circle(repository: Path) -> None:
    """Neither between files, imports for types included, nor between rooms."""
    modules = sources.modules(repository)
    files = {path: sources.imported_files(repository, path, files=modules) for path in modules.values()}
    rooms: dict[str, set[str]] = {}
    for path, imported in files.items():
        rooms.setdefault(sources.place(path), set()).update(map(sources.place, imported))
    list(graphlib.TopologicalSorter(files).static_order())
    list(graphlib.TopologicalSorter({room: found - {room} for room, found in rooms.items()}).static_order())


def test_tests_lie_where_their_code_does(repository: Path) -> None:
    """What tests a room is in the folder of that name below `tests`; what tests several folders is on top."""
    places = {Path(path).parent.as_posix() for path in sources.package_files(repository)}
    folders = {Path(path).parent.relative_to("tests").as_posix() for path in sources.folder_files(repository, "tests")}
    assert folders - places == {"."}


def test_nothing_imports_a_folder_by_its_bare_name(repository: Path) -> None:
    found = {path: bare_names(sources.imported_modules(repository / path)) for path in sources.all_files(repository)}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_module_uses_what_runs_code_from_input_or_another_keras(modules: dict[str, ast.Module]) -> None:
    found = {path: list(forbidden_uses(tree, may_use_tf_keras=path == KERAS_CHOICE)) for path, tree in modules.items()}
    assert {path: uses for path, uses in found.items() if uses} == {}


def test_no_module_imports_a_pickler(repository: Path, modules: dict[str, ast.Module]) -> None:
    found = {path: sources.imported_modules(repository / path) & FORBIDDEN_MODULES for path in modules}
    assert {path: names for path, names in found.items() if names} == {}


def test_only_commands_and_trainers_read_flags(repository: Path, modules: dict[str, ast.Module]) -> None:
    libraries = {
        path: tree
        for path, tree in modules.items()
        if not path.startswith("trainers/")
        and not COMMAND_SUPPORT.fullmatch(path)
        and not sources.is_command(repository / path)
    }
    assert libraries
    found = {path: list(flag_reads(tree)) for path, tree in libraries.items()}
    assert {path: reads for path, reads in found.items() if reads} == {}


def test_importing_a_module_defines_no_flag(modules: dict[str, ast.Module]) -> None:
    found = {path: list(flags_defined_at_import(tree)) for path, tree in modules.items()}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_the_package_has_no_root_and_no_other_folder(repository: Path) -> None:
    assert not (repository / "__init__.py").exists()
    with_python = {path.parent.name for path in repository.glob("*/*.py")}
    generated = {".typing", "build", "dist", "runs", "records", "serving"}
    assert with_python - generated == {*sources.FOLDERS, *sources.OTHER_FOLDERS}


def test_every_folder_with_modules_is_a_package(repository: Path) -> None:
    folders = {Path(path).parent for path in sources.package_files(repository)}
    assert [str(folder) for folder in sorted(folders) if not (repository / folder / "__init__.py").exists()] == []


def test_every_file_says_what_it_is(repository: Path) -> None:
    paths = sources.all_files(repository)
    assert [path for path in paths if not ast.get_docstring(parse(repository / path))] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eval(x)", ["1: calls eval"]),
        ("y = keras.layers.Lambda(f)", ["1: Lambda layer"]),
        ("np.load(f, allow_pickle=True)", ["1: allow_pickle"]),
        ("np.load(f, allow_pickle=False)", []),
        ("tf.keras.layers.Dense(1)", ["1: tf.keras"]),
        ("tf_keras.layers.Dense(1)", []),
        ("from . import schema", ["1: relative import"]),
        ("regex = re.compile('x')", []),
    ],
)
def test_forbidden_uses_are_seen(text: str, expected: list[str]) -> None:
    assert list(forbidden_uses(ast.parse(text), may_use_tf_keras=False)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags.DEFINE_bool('a', True, 'b')", ["1: flags.DEFINE_bool"]),
        ("if True:\n  X = flags.DEFINE_bool('a', True, 'b')", ["2: flags.DEFINE_bool"]),
        ("def run():\n  flags.DEFINE_bool('a', True, 'b')", []),
    ],
)
def test_flags_defined_at_import_are_seen(text: str, expected: list[str]) -> None:
    assert list(flags_defined_at_import(ast.parse(text))) == expected


@pytest.mark.parametrize("text", ["from absl import flags", "import absl.flags", "from absl.flags import FLAGS"])
def test_flag_reads_are_seen(text: str) -> None:
    assert list(flag_reads(ast.parse(text))) == ["1: absl.flags"]


def test_wrong_directions_are_seen() -> None:
    assert wrong_direction("data", {"fullrank.models.ranker", "fullrank.data.schema.schema", "numpy"}) == [
        "fullrank.models.ranker"
    ]
    assert wrong_direction("trainers", {"fullrank.models.ranker", "fullrank.analysis"}) == []
    files = {"layers/dense.py", "layers/numbers/real.py", "models/ranker.py", "data/read.py", "models/heads/chain.py"}
    allowed = frozenset({"layers", "models/heads"})
    assert against_rule("models/learning/sum.py", files, allowed) == ["data/read.py", "models/ranker.py"]
    assert bare_names({"data.schema", "fullrank.data", "dataclasses"}) == ["data.schema"]
