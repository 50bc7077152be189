"""BUILD names every source file once, and every target depends on exactly what its files import."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import build_targets
import sources

RULES_WITH_SOURCES = {"fullrank_library", "fullrank_test", "py_binary", "py_library"}
# Dependencies of what is planned; a name leaves when the first module imports it.
NOT_YET_IMPORTED = {"@pypi//scipy", "@pypi//tensorflow_probability"}
STALE = "BUILD is stale: run `make build-file`"


def read_targets(build: Path) -> dict[str, dict[str, Any]]:
    """The targets of a BUILD file, by name. Its language is a subset of Python, so Python's parser reads it."""
    targets = {}
    for statement in ast.parse(build.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            values = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg is not None}
            if "name" in values:
                targets[values["name"]] = {"rule": ast.unparse(call.func), **values}
    return targets


def files_of(target: dict[str, Any]) -> list[str]:
    return [target["src"]] if "src" in target else target.get("srcs", [])


@pytest.fixture(scope="module")
def targets(repository: Path) -> dict[str, dict[str, Any]]:
    return read_targets(repository / "BUILD")


def check(root: Path) -> subprocess.CompletedProcess[str]:
    """Runs the check as `make lint` does, on the source tree at `root`."""
    command = [sys.executable, str(root / ".ci" / "build_targets.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_build_is_what_the_generator_writes(repository: Path) -> None:
    run = check(repository)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_source_file_is_in_one_target(repository: Path, targets: dict[str, dict[str, Any]]) -> None:
    listed = Counter(path for target in targets.values() for path in files_of(target))
    # defs.bzl adds the test runner to every test; setup.py packages, and Bazel does not package with it; what
    # __main__.py starts is the target `commands`.
    expected = {*sources.all_files(repository)} - {"setup.py", sources.MAIN, build_targets.TEST_MAIN}
    assert set(listed) == expected
    assert [path for path, times in listed.items() if times > 1] == []


def test_deps_equal_imports(repository: Path, targets: dict[str, dict[str, Any]]) -> None:
    """Counts in the other direction than the generator: from each dependency of a target back to an import."""
    provided = {f"@pypi//{label}": name for name, label in build_targets.DISTRIBUTIONS.items()}
    provided |= {f":{folder}": f"{sources.PACKAGE}.{folder}" for folder in sources.FOLDERS}
    for name, target in targets.items():
        if target["rule"] not in RULES_WITH_SOURCES:
            continue
        imported = {module for path in files_of(target) for module in sources.imported_modules(repository / path)}
        for dep in target.get("deps", []):
            if dep in provided:
                prefix = provided[dep]
                assert any(module == prefix or module.startswith(f"{prefix}.") for module in imported), (name, dep)
        tops = {module.split(".")[0] for module in imported}
        outside = tops - sys.stdlib_module_names - {sources.PACKAGE, *build_targets.OPTIONAL}
        known = {build_targets.DISTRIBUTIONS[top] for top in outside & set(build_targets.DISTRIBUTIONS)}
        assert {f"@pypi//{label}" for label in known} <= set(target.get("deps", [])), name


def test_every_dependency_is_a_target_or_locked(repository: Path, targets: dict[str, dict[str, Any]]) -> None:
    lock = (repository / "requirements.lock").read_text(encoding="utf-8")
    locked = {line.split("==")[0].replace("-", "_") for line in lock.splitlines() if "==" in line}
    deps = {dep for target in targets.values() for dep in target.get("deps", [])}
    assert {dep for dep in deps if dep.startswith(":") and dep[1:] not in targets} == set()
    assert {dep for dep in deps if dep.startswith("@pypi//") and dep.removeprefix("@pypi//") not in locked} == set()


def setup_literal(repository: Path, name: str) -> Any:
    """A list or dictionary that setup.py gives as the value of a variable or of a keyword argument."""
    tree = ast.parse((repository / "setup.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
        if isinstance(node, ast.keyword) and node.arg == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"setup.py has no {name}")


def test_the_package_requires_what_it_imports(repository: Path, targets: dict[str, dict[str, Any]]) -> None:
    def required_by(*names: str) -> set[str]:
        lines = [line for name in names for line in setup_literal(repository, name)]
        return {"@pypi//" + re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines}

    required, extras = required_by("install_requires"), required_by("SEARCHING", "STREAMING")
    libraries = [target for target in targets.values() if target["rule"] == "fullrank_library"]
    deps = {dep for target in libraries for dep in target.get("deps", []) if dep.startswith("@")}
    assert deps - required == extras
    # TensorFlow loads the first, tensorflow-probability the second, without importing them by a name of ours.
    assert required - deps <= {"@pypi//tensorboard", "@pypi//setuptools", *NOT_YET_IMPORTED}


def test_every_command_is_a_console_script(repository: Path, targets: dict[str, dict[str, Any]]) -> None:
    commands = setup_literal(repository, "COMMANDS")
    binaries = {target["module"] for target in targets.values() if target["rule"] == "fullrank_command"}
    assert {f"fullrank.{module}" for module in commands.values()} <= binaries


@pytest.fixture
def small_tree(repository: Path, tmp_path: Path) -> Path:
    """A source tree with one module a folder, one test and one benchmark, and a BUILD that fits."""
    shutil.copytree(repository / ".ci", tmp_path / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in sources.FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text('"""A folder."""\n')
    for path, text in {
        "data/read.py": "import numpy\nfrom fullrank.data import schema\n",
        "layers/dense.py": "import tf_keras\n",
        "layers/mixture/gate.py": "from fullrank.layers.dense import Dense\n",
        "trainers/train.py": 'from fullrank.models import x\ndef run(): pass\nif __name__ == "__main__":\n    run()\n',
        "benchmarks/report.py": "import json\n",
        "benchmarks/speed.py": 'import report\nif __name__ == "__main__":\n    pass\n',
        "tests/test_read.py": 'COMMAND = ["-m", "fullrank.trainers.train"]\n',
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert build_targets.main(tmp_path, ["--write"]) == 0
    return tmp_path


def test_the_generator_writes_one_target_a_part(small_tree: Path) -> None:
    targets = read_targets(small_tree / "BUILD")
    assert targets["data"]["deps"] == ["@pypi//numpy"]
    assert targets["trainers"]["deps"] == [":models"]
    assert targets["layers_mixture"]["srcs"] == ["layers/mixture/gate.py"]
    assert targets["layers_mixture"]["deps"] == [":layers_dense"]
    assert targets["layers_dense"]["deps"] == ["@pypi//tf_keras"]
    assert targets["train"] == {
        "rule": "fullrank_command",
        "name": "train",
        "module": "fullrank.trainers.train",
        "deps": [":trainers"],
    }
    assert targets["benchmark_speed"]["deps"] == [":benchmark_support"]
    # A module that a test starts by name is needed as if it were imported.
    assert ":trainers" in targets["test_read"]["deps"]


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("layers/new.py", "", STALE),
        ("data/read.py", "import scipy\n", STALE),
        ("data/read.py", "import unheard_of\n", "data/read.py imports unheard_of"),
        ("data/read.py", "import fullrank.extras\n", "but fullrank has only data, layers"),
        ("data/read.py", "def broken(:\n", "does not parse"),
        ("data/train.py", 'def run(): pass\nif __name__ == "__main__":\n    run()\n', "the name 'train'"),
    ],
)
def test_the_check_says_what_is_wrong(small_tree: Path, path: str, text: str, complaint: str) -> None:
    assert check(small_tree).returncode == 0
    (small_tree / path).write_text(text)
    run = check(small_tree)
    assert run.returncode == 1
    assert complaint in run.stderr
    assert "Traceback" not in run.stderr


def test_a_missing_build_file_is_stale(small_tree: Path) -> None:
    (small_tree / "BUILD").unlink()
    assert STALE in check(small_tree).stderr
