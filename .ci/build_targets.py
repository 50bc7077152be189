"""Writes BUILD from the files and their imports, or checks that it is what would be written.

Usage: `build_targets.py --write` or `build_targets.py --check`.

One library per room, one per file on top of a folder that is imported below it, and one for the rest of the folder; one
binary per command or benchmark, and one test per file. A target's deps are exactly what its files
import; a test also needs a module that it starts by name (`-m fullrank.trainers.train`).
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import sources

HEADER = """\
# Written by `make build-file` from the files and their imports; `make lint` and a test fail when it is stale.

load("@rules_python//python:defs.bzl", "py_binary", "py_library")
load(":defs.bzl", "fullrank_command", "fullrank_library", "fullrank_test")

package(default_visibility = ["//visibility:public"])

licenses(["notice"])

exports_files([
    "LICENSE",
    "requirements.lock",
])
"""

# Top-level import name -> distribution, for every package outside the standard library that the project imports.
DISTRIBUTIONS: Mapping[str, str] = {
    "absl": "absl_py",
    "confluent_kafka": "confluent_kafka",
    "duckdb": "duckdb",
    "google": "protobuf",
    "google_crc32c": "google_crc32c",
    "hypothesis": "hypothesis",
    "jinja2": "jinja2",
    "jsonschema": "jsonschema",
    "keras": "keras",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "optuna": "optuna",
    "pyarrow": "pyarrow",
    "pytest": "pytest",
    "scipy": "scipy",
    "setuptools": "setuptools",
    "sklearn": "scikit_learn",
    "tensorboard": "tensorboard",
    "tensorflow": "tensorflow",
    "tensorflow_probability": "tensorflow_probability",
    "tensorflow_recommenders": "tensorflow_recommenders",
    "tensorflow_serving": "tensorflow_serving_api",
    "tf_keras": "tf_keras",
    "tqdm": "tqdm",
    "yaml": "pyyaml",
}
# What a benchmark may compare with when it happens to be installed; it is not locked, so Bazel cannot provide it.
OPTIONAL = frozenset({"apache_beam", "fuxictr", "implicit", "onnx", "onnxruntime", "tf2onnx", "torch"})

# The script of every test target (see defs.bzl).
TEST_MAIN = "tests/run_pytest.py"

Attributes = Mapping[str, str | list[str]]


class Labels:
    """Finds the label that provides an imported module.

    Args:
      root: The source tree.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = sources.modules(root)
        self.libraries = _package_libraries(root)
        self._targets = {path: target for target, files in self.libraries.items() for path in files}
        scripts = _script_libraries(root)
        self._scripts = {Path(file).stem: f":{target}" for target, files in scripts.items() for file in files}

    def deps(self, paths: Iterable[str], *, own: str = "") -> list[str]:
        """The labels that `paths` import, in the order buildifier wants, without `own`."""
        names = {(path, name) for path in paths for name in sources.imported_modules(self._root / path)}
        labels = {self._label(path, name) for path, name in names} - {"", own}
        return sorted(labels, key=lambda label: (label.startswith("@"), label))

    def _label(self, path: str, name: str) -> str:
        top = name.partition(".")[0]
        if top == sources.PACKAGE:
            file = self._files.get(name) or self._files.get(name.rpartition(".")[0])
            folder = name.split(".")[1] if name != sources.PACKAGE else ""
            if folder and folder not in sources.FOLDERS:
                raise ValueError(f"{path} imports {name}, but {sources.PACKAGE} has only {', '.join(sources.FOLDERS)}")
            return f":{self._targets[file]}" if file else ""
        if top in self._scripts:
            return self._scripts[top]
        if top in DISTRIBUTIONS:
            return f"@pypi//{DISTRIBUTIONS[top]}"
        if top in sys.stdlib_module_names or top in OPTIONAL:
            return ""
        raise ValueError(f"{path} imports {top}, which DISTRIBUTIONS in .ci/build_targets.py does not know")


def render(root: Path) -> str:
    """The text that BUILD must have.

    Raises:
      ValueError: When a file imports something unknown, or two files would give targets of one name.
    """
    labels = Labels(root)
    targets = [
        *_libraries(labels),
        *_commands(root),
        *_scripts(root, labels),
        *_tests(root, labels),
    ]
    names = [name for name, _ in targets]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two targets would have the name {repeated[0]!r}: rename one of the files")
    return "\n".join([HEADER, *(text for _, text in targets)])


def _package_libraries(root: Path) -> dict[str, list[str]]:
    """The files of each library of the package."""
    found: dict[str, list[str]] = {}
    modules = sources.modules(root)
    for folder in sources.FOLDERS:
        files = sources.folder_files(root, folder)
        imported = {file: sources.imported_files(root, file, files=modules) for file in files}
        # What rooms import on top of their folder, and what that imports there.
        below: set[str] = set()
        pending = {file for path in files if path.count("/") > 1 for file in imported[path]}
        while pending:
            file = pending.pop()
            if sources.place(file) == file and file.startswith(f"{folder}/") and file not in below:
                below.add(file)
                pending |= imported[file]
        for file in files:
            place = sources.place(file)
            name = folder if place == file and file not in below else place.removesuffix(".py").replace("/", "_")
            found.setdefault(name, []).append(file)
    return found


def _libraries(labels: Labels) -> Iterable[tuple[str, str]]:
    for name, files in labels.libraries.items():
        deps = labels.deps(files, own=f":{name}")
        yield name, _call("fullrank_library", {"name": name, "srcs": files, "deps": deps})


def _commands(root: Path) -> Iterable[tuple[str, str]]:
    for path in sources.package_files(root):
        if sources.is_command(root / path):
            module = sources.module_name(path)
            name = module.rpartition(".")[2]
            folder = module.split(".")[1]
            yield name, _call("fullrank_command", {"name": name, "module": module, "deps": [f":{folder}"]})


def _scripts(root: Path, labels: Labels) -> Iterable[tuple[str, str]]:
    for library, files in _script_libraries(root).items():
        folder = {"ci": ".ci", "benchmark_support": "benchmarks", "test_support": "tests"}[library]
        deps = labels.deps(files, own=f":{library}")
        yield library, _call("py_library", {"name": library, "srcs": files, "imports": [folder], "deps": deps})
    for path in sources.folder_files(root, "benchmarks"):
        if sources.has_main_block(root / path):
            name = f"benchmark_{Path(path).stem}"
            deps = labels.deps([path])
            yield name, _call("py_binary", {"name": name, "srcs": [path], "main": path, "deps": deps})


def _script_libraries(root: Path) -> dict[str, list[str]]:
    """The files of the modules that neighbours import by bare name, and of fixtures: target -> files."""
    found = {
        "ci": sources.folder_files(root, ".ci"),
        "benchmark_support": [
            path for path in sources.folder_files(root, "benchmarks") if not sources.has_main_block(root / path)
        ],
        "test_support": [path for path in sources.folder_files(root, "tests") if _is_test_support(path)],
    }
    return {target: sorted(paths) for target, paths in found.items() if paths}


def _is_test(path: str) -> bool:
    return Path(path).name.startswith("test_")


def _is_test_support(path: str) -> bool:
    return not _is_test(path) and path != TEST_MAIN


def _tests(root: Path, labels: Labels) -> Iterable[tuple[str, str]]:
    for path in sources.folder_files(root, "tests"):
        if _is_test(path):
            text = (root / path).read_text(encoding="utf-8")
            attributes: dict[str, str | list[str]] = {
                "name": Path(path).stem,
                "size": "large" if "mark.slow" in text else "medium",
                "src": path,
            }
            if sources.needs_source_tree(root / path):
                # Bazel's sandbox holds no source tree; pytest runs these in the checkout.
                attributes["tags"] = ["manual"]
            attributes["deps"] = sorted({":test_support", *labels.deps([path])}, key=lambda dep: (dep[0] == "@", dep))
            yield Path(path).stem, _call("fullrank_test", attributes)


def _call(rule: str, attributes: Attributes) -> str:
    """One rule call in buildifier's format."""
    lines = [f"{rule}("]
    for key, value in attributes.items():
        if isinstance(value, str):
            lines.append(f'    {key} = "{value}",')
        elif len(value) == 1:
            lines.append(f'    {key} = ["{value[0]}"],')
        elif value:
            lines += [f"    {key} = [", *(f'        "{item}",' for item in value), "    ],"]
    return "\n".join([*lines, ")", ""])


def main(root: Path, arguments: list[str]) -> int:
    """Writes or checks `root/BUILD`; returns the exit code."""
    if arguments not in (["--write"], ["--check"]):
        print("usage: build_targets.py --write | --check", file=sys.stderr)
        return 2
    try:
        wanted = render(root)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    build = root / "BUILD"
    present = build.read_text(encoding="utf-8") if build.exists() else ""
    if arguments == ["--write"]:
        if present != wanted:
            build.write_text(wanted, encoding="utf-8")
        return 0
    if present != wanted:
        sys.stdout.writelines(
            difflib.unified_diff(present.splitlines(True), wanted.splitlines(True), "BUILD", "BUILD as it should be")
        )
        print("BUILD is stale: run `make build-file`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sources.ROOT, sys.argv[1:]))
